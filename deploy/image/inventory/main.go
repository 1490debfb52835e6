// Command inventory says which modules are in a binary of logferry, and under which licences. It fails when one of them is not
// under a licence that allows passing the binary on. It can write the notices that these licences ask for, and a list of the
// parts (SBOM).
//
//	go run ./deploy/image/inventory [-notices FILE] [-sbom FILE] [-version VERSION] BINARY
//
// It is run in the module's folder: the texts come from the module cache, as the binary's parts did.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

func main() {
	notices := flag.String("notices", "", "write the licences of all parts to this file")
	sbom := flag.String("sbom", "", "write the list of parts to this file, as CycloneDX JSON")
	version := flag.String("version", "", "the binary's own version, for the list of parts")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := inventory(os.Stdout, flag.Arg(0), *version, *notices, *sbom); err != nil {
		fmt.Fprintln(os.Stderr, "inventory: "+err.Error())
		os.Exit(1)
	}
}

// inventory prints the table. It writes no file unless every part may be passed on.
func inventory(w io.Writer, binary, version, notices, sbom string) error {
	parts, err := partsOf(binary)
	if err != nil {
		return err
	}
	var faults []error
	table := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(table, "MODULE\tVERSION\tLICENCES")
	for _, p := range parts {
		ids, err := p.licences()
		if err != nil {
			faults = append(faults, err)
			ids = append(ids, "REFUSED")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.Path, p.Version, strings.Join(ids, " AND "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	fmt.Fprintf(w, "licences: %d modules, all of them may be passed on\n", len(parts))
	if notices != "" {
		if err := os.WriteFile(notices, noticesOf(parts), 0o644); err != nil {
			return fmt.Errorf("write notices: %w", err)
		}
	}
	if sbom != "" {
		text, err := sbomOf(parts, binary, version)
		if err != nil {
			return err
		}
		if err := os.WriteFile(sbom, text, 0o644); err != nil {
			return fmt.Errorf("write list of parts: %w", err)
		}
	}
	return nil
}

// noticesOf is one text with every file that speaks of a part's licence.
func noticesOf(parts []part) []byte {
	var b bytes.Buffer
	b.WriteString("logferry is made of the parts below, besides its own code. Their licences ask that these texts go along with it.\n")
	for _, p := range parts {
		for _, f := range p.Files {
			fmt.Fprintf(&b, "\n%s\n%s %s: %s\n\n%s\n", strings.Repeat("=", 100), p.Path, p.Version, f.Name, bytes.TrimSpace(f.Text))
		}
	}
	return b.Bytes()
}
