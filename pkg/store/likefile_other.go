//go:build !unix

package store

import "os"

// likeFile gives a file the mode of another one.
func likeFile(path string, old os.FileInfo) error { return os.Chmod(path, old.Mode().Perm()) }
