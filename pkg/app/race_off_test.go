//go:build !race

package app_test

import "time"

const (
	poll     = time.Minute // the default of a source
	worlds   = 200         // of TestConservation
	raceFlag = ""
	tenants  = 1000 // of TestTenants
)
