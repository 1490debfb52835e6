//go:build unix

package store

import (
	"os"
	"syscall"
)

// likeFile gives a file the mode and the owner of another one.
func likeFile(path string, old os.FileInfo) error {
	want, known := old.Sys().(*syscall.Stat_t)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if have, ok := info.Sys().(*syscall.Stat_t); known && ok && (have.Uid != want.Uid || have.Gid != want.Gid) {
		if err := os.Chown(path, int(want.Uid), int(want.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, old.Mode().Perm())
}
