package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/logferry/logferry/pkg/event"
)

// Probe looks whether the files that the records would go to can be written, or made where there are none yet. It makes nothing and
// asks for no lock: another process may be writing them. Errors are those of Send.
func (s *Sink) Probe(_ context.Context, records []event.Record) error {
	var errs []error
	seen := map[string]bool{}
	for i := range records {
		path := filepath.Clean(string(s.appendPath(nil, &records[i])))
		if !seen[path] {
			seen[path] = true
			errs = append(errs, probe(path))
		}
	}
	return errors.Join(errs...)
}

func probe(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = probeFolder(filepath.Dir(path))
	case err == nil && !info.Mode().IsRegular():
		err = errNotFile
	case err == nil:
		var f *os.File
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return judge(path, err)
	}
	return nil
}

// probeFolder looks at the folder, or at the one above that would have to hold it.
func probeFolder(dir string) error {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return errNotFile
		case err == nil:
			return mayWrite(dir)
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return err
		}
		dir = filepath.Dir(dir)
	}
}
