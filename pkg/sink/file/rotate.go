package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

const (
	zipSuffix = ".gz"
	tmpSuffix = ".gz.tmp" // of the file that is being compressed, behind the name of the one that is written to
)

// slot is the name of a rotated file, the youngest being number 1. Number 0 is the file that is written to.
func slot(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}

// rotate frees the name path: path becomes path.1, path.1 becomes path.2, and so on to the first gap, such as an interrupted
// rotation leaves, or to path.keep, which is deleted. path.1.gz and so on are moved likewise.
func rotate(files filesystem, path string, keep int) error {
	last := 1
	for last < keep && taken(path, last) {
		last++
	}
	if last == keep {
		for _, suffix := range []string{"", zipSuffix} {
			if err := files.remove(slot(path, keep) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("rotate: %w", err)
			}
		}
	}
	for i := last; i > 0; i-- {
		for _, suffix := range []string{"", zipSuffix} {
			if i == 1 && suffix != "" {
				continue // path.gz is none of ours
			}
			err := files.rename(slot(path, i-1)+suffix, slot(path, i)+suffix)
			if err != nil && !(i > 1 && errors.Is(err, fs.ErrNotExist)) {
				return fmt.Errorf("rotate: %w", err)
			}
		}
	}
	return nil
}

// taken tells whether there is a rotated file of that number, in either form.
func taken(path string, i int) bool { return exists(slot(path, i)) || exists(slot(path, i)+zipSuffix) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
