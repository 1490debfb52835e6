package config

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Text is one file of a configuration.
type Text struct {
	Name string
	Body []byte
}

// Read reads the files and folders that Load is given, and no more than that: nothing is wrong yet with what they hold.
func Read(paths []string) ([]Text, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	texts := make([]Text, len(files))
	for i, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		texts[i] = Text{Name: name, Body: body}
	}
	return texts, nil
}

// ErrOnce says that a configuration was read from what tells it once, such as a pipe: reading it again would wait for ever, or find nothing.
var ErrOnce = errors.New("it is no ordinary file and cannot be read again")

// Again is Read for files that were read before.
func Again(paths []string) ([]Text, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("read configuration: %s: %w", name, ErrOnce)
		}
	}
	return Read(paths)
}

// Sum is the same for the same files with the same content, in the same order.
func Sum(texts []Text) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, t := range texts {
		var size [16]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(t.Name)))
		binary.BigEndian.PutUint64(size[8:], uint64(len(t.Body)))
		for _, part := range [][]byte{size[:], []byte(t.Name), t.Body} {
			_, _ = h.Write(part) // it never fails
		}
	}
	h.Sum(sum[:0])
	return sum
}

// Partly gives what can be made out of files with faults: where the state is, above all.
func Partly(texts []Text) *Config {
	cfg := Default()
	d := &decoder{places: map[string]place{}, getenv: osEnv}
	for _, t := range texts {
		d.merge(t.Name, t.Body, &cfg, map[string]string{})
	}
	return &cfg
}

// HasSink tells whether there is a sink of that name.
func (c *Config) HasSink(name string) bool {
	return slices.ContainsFunc(c.Sinks, func(s Sink) bool { return s.Name == name })
}
