package store

import "testing"

func TestSetLimits(t *testing.T) {
	s := open(t, t.TempDir(), Options{JournalMaxBytes: 1 << 20})
	if err := s.SetLimits(2<<20, 0); err != nil {
		t.Fatal(err)
	}
	if room := s.Room(); room != 2<<20 {
		t.Errorf("room for %d bytes, want 2 MiB", room)
	}
	if s.o.LettersMaxBytes != 1<<30 {
		t.Errorf("letters may take %d bytes, want the default", s.o.LettersMaxBytes)
	}
}
