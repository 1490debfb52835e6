//go:build !race

package app_test

import "time"

// poll is the default of a source.
const poll = time.Minute
