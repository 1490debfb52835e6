//go:build unix

package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock keeps a second writer out, who would take our line in the making for one that a crash has left. The lock ends with f.
// File systems without locks do without.
func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return nil
}

// standardOutput gives a copy of standard output with a number of its own: a broken pipe at number 1 ends a Go process by
// SIGPIPE, at any other it is an error.
func standardOutput() (*os.File, error) {
	fd, err := unix.FcntlInt(os.Stdout.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), os.Stdout.Name()), nil
}

// mayWrite tells whether files can be made in dir.
func mayWrite(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
