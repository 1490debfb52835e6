//go:build unix && !solaris && !aix

package store

import (
	"os"
	"syscall"
)

// unlock gives up bbolt's lock on a file that bbolt cannot close any more. Closing the file is not enough: its memory map
// keeps the lock.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
