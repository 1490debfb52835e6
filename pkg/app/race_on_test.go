//go:build race

package app_test

import "time"

// poll is longer where every step costs ten times as much.
const poll = 5 * time.Minute
