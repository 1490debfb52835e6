//go:build !linux

package syslog

import (
	"net"
	"syscall"
	"time"
)

// unacked: this system does not tell.
func unacked(net.Conn) (n int, open, ok bool) { return 0, false, false }

// userTimeout: this system has its own.
func userTimeout(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
