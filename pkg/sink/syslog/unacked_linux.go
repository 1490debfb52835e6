package syslog

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unacked tells how many octets the peer's TCP has not acknowledged yet and whether the connection stands in both
// directions. ok is false where the kernel cannot tell, as for a connection that is not TCP.
func unacked(c net.Conn) (n int, open, ok bool) {
	sc, isSocket := c.(syscall.Conn)
	if !isSocket {
		return 0, false, false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, false, false
	}
	var info *unix.TCPInfo
	var errQueue, errInfo error
	err = rc.Control(func(fd uintptr) {
		// The state is asked for last: what was acknowledged before a reset does not count.
		n, errQueue = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		info, errInfo = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil { // closed by the watcher
		return 0, false, true
	}
	if errQueue != nil || errInfo != nil {
		return 0, false, false
	}
	return n, info.State == unix.BPF_TCP_ESTABLISHED, true
}

// userTimeout makes the kernel give up a connection whose peer acknowledges nothing for d, instead of after a quarter of an hour.
func userTimeout(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var errSet error
		err := c.Control(func(fd uintptr) {
			errSet = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return errSet
	}
}
