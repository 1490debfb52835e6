//go:build linux || darwin

package store

import "syscall"

// freeSpace is how many bytes the disk of a folder has for us.
func freeSpace(dir string) (bytes int64, known bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
