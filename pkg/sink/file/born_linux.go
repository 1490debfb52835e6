package file

import (
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// born gives the time at which a file was made, or that of the last write where the file system does not keep it.
func born(h handle, info fs.FileInfo) time.Time {
	f, ok := h.(*os.File)
	var x unix.Statx_t
	if !ok || unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &x) != nil || x.Mask&unix.STATX_BTIME == 0 {
		return info.ModTime()
	}
	return time.Unix(x.Btime.Sec, int64(x.Btime.Nsec))
}
