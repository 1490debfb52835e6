package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra"
)

// manifestName is the file that lists the pages.
const manifestName = "manifest.json"

// SavedPage is a page's entry in the manifest.
type SavedPage struct {
	File      string    `json:"file"`
	Stream    string    `json:"stream"`
	URI       string    `json:"uri"` // with page tokens cut out
	Time      time.Time `json:"time"`
	SHA256    string    `json:"sha256"`
	RequestID string    `json:"request_id"`
	Rows      int       `json:"rows"`
	Bytes     int       `json:"bytes"`
}

// Manifest is manifest.json.
type Manifest struct {
	Pages []SavedPage `json:"pages"`
}

// pageFolder saves pages as they were received.
type pageFolder struct {
	dir    string
	old    []SavedPage    // of an earlier run, to be removed when there is a new one
	begun  bool           // there is a new page, and those of an earlier run are gone
	counts map[string]int // by stream
	saved  Manifest
	err    error // the first one
}

var pageName = regexp.MustCompile(`^(audit|SigninActivities|[a-z_]+(\.[a-z_]+)?)[0-9]+\.json$`)

// newPageFolder makes the folder, or takes one that holds no pages. With force those of an earlier run make room, as soon as there is
// one to take their place.
func newPageFolder(dir string, force bool) (*pageFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: --save-pages: %w", ErrUsage, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: --save-pages: %w", ErrUsage, err)
	}
	for _, e := range entries {
		if !force && (e.Name() == manifestName || pageName.MatchString(e.Name())) {
			return nil, fmt.Errorf("%w: --save-pages: %s holds pages (%s): name another folder, or write --force to replace them", ErrUsage, dir, e.Name())
		}
	}
	p := &pageFolder{dir: dir, counts: map[string]int{}}
	return p, p.readOld()
}

// readOld reads which pages the manifest of an earlier run lists.
func (p *pageFolder) readOld() error {
	text, err := os.ReadFile(filepath.Join(p.dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var old Manifest
	if err == nil {
		err = json.Unmarshal(text, &old)
	}
	if err != nil {
		return fmt.Errorf("%w: --save-pages: read %s: %w", ErrUsage, manifestName, err)
	}
	p.old = old.Pages
	return nil
}

// makeRoom removes the pages of an earlier run: beside new ones they would be read as theirs.
func (p *pageFolder) makeRoom() error {
	for _, page := range p.old {
		if !pageName.MatchString(page.File) {
			continue
		}
		if err := os.Remove(filepath.Join(p.dir, page.File)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove old page: %w", err)
		}
	}
	return nil
}

// save writes a page and gives its file's name; "" if that failed, which failed tells.
func (p *pageFolder) save(r entra.Request, body []byte, now time.Time) string {
	if !p.begun && p.err == nil {
		p.err = p.makeRoom()
		p.begun = p.err == nil
	}
	if p.err != nil {
		return ""
	}
	p.counts[r.Stream]++
	name := r.Stream
	switch r.Stream { // as the vendor's samples name them
	case "audits":
		name = "audit"
	case "signins.interactive":
		name = "SigninActivities"
	}
	name = fmt.Sprintf("%s%d.json", name, p.counts[r.Stream])
	if p.err = writeNew(filepath.Join(p.dir, name), body); p.err != nil {
		return ""
	}
	sum := sha256.Sum256(body)
	p.saved.Pages = append(p.saved.Pages, SavedPage{
		File: name, Stream: r.Stream, URI: r.URL, Time: now.UTC(), SHA256: hex.EncodeToString(sum[:]), RequestID: r.RequestID, Rows: r.Rows, Bytes: len(body),
	})
	return name
}

// writeNew replaces a file instead of writing into it: a link would lead elsewhere, and an old file keeps its mode.
func writeNew(path string, data []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("save page: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("save page: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("save page: %w", err)
	}
	return nil
}

func (p *pageFolder) failed() error {
	if p == nil {
		return nil
	}
	return p.err
}

// close writes the manifest, of an interrupted run too. Where no page came, what the folder holds stays as it is.
func (p *pageFolder) close() error {
	if p == nil || !p.begun {
		return nil
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // addresses are to be read
	e.SetIndent("", "  ")
	err := e.Encode(p.saved)
	if err == nil {
		err = writeNew(filepath.Join(p.dir, manifestName), text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}
