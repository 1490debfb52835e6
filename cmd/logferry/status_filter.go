package main

import (
	"fmt"
	"io"

	"github.com/logferry/logferry/pkg/pipeline"
)

// printFilters tells which streams lack records because the configuration says so, and which were begun again for that reason.
func printFilters(w io.Writer, streams []pipeline.StreamStatus) {
	said := false
	for _, s := range streams {
		if s.Filter == "" && s.Anew.IsZero() {
			continue
		}
		if !said {
			fmt.Fprintln(w, "\nFILTERS")
			said = true
		}
		filter := s.Filter
		if filter == "" {
			filter = "none any more"
		}
		fmt.Fprintf(w, "%s: %s\n", s.Name, filter)
		if !s.Anew.IsZero() {
			fmt.Fprintf(w, "  changed: begun again at %s like on a first run\n", when(s.Anew))
		}
	}
}
