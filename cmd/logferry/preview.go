package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
)

type previewFlags struct {
	schema  string
	options map[string]string
	stream  string
	size    bool
}

func previewCommand() *cobra.Command {
	var f previewFlags
	cmd := &cobra.Command{
		Use:   "preview --stream STREAM [--schema SCHEMA] FILE...",
		Short: "Show what a schema makes of records in files",
		Long: "Preview renders the records of files as a sink would get them, one event a line. Without --schema it shows each record's members\n" +
			"and what they become in each schema: the fields that change when the member is taken away. A minus says that the member stays\n" +
			"in the record alone.\n\n" +
			"FILE is NDJSON, an array or a page {\"value\":[..]} of Microsoft Graph or Azure AD Graph (logferry fetch --save-pages writes\n" +
			"such), - for standard input. Tenant and time of reading are made up.",
		RunE: func(cmd *cobra.Command, files []string) error { return preview(cmd, f, files) },
	}
	cmd.Flags().StringVar(&f.schema, "schema", "", "one of "+strings.Join(normalizer.Schemas(), ", "))
	cmd.Flags().StringToStringVar(&f.options, "option", nil, "the schema's options, such as raw=drop (repeatable)")
	cmd.Flags().StringVar(&f.stream, "stream", "", "what the records are: "+strings.Join(simulator.AllStreams(), ", "))
	cmd.Flags().BoolVar(&f.size, "size", false, "show how many bytes the events have instead, by schema")
	return cmd
}

func preview(cmd *cobra.Command, f previewFlags, files []string) error {
	switch {
	case len(files) == 0:
		return fmt.Errorf("%w: name a file with records, or - for standard input", app.ErrUsage)
	case !slices.Contains(simulator.AllStreams(), f.stream):
		return fmt.Errorf("%w: --stream %q: want one of %s", app.ErrUsage, f.stream, strings.Join(simulator.AllStreams(), ", "))
	case f.schema == "" && len(f.options) > 0:
		return fmt.Errorf("%w: --option needs --schema", app.ErrUsage)
	}
	p := previewer{stderr: cmd.ErrOrStderr()}
	var err error
	if p.normalizer, err = normalizer.NewWith(normalizer.Options{Unknown: p.unknown}); err != nil {
		return err
	}
	for _, name := range normalizer.Schemas() {
		if f.schema != "" && name != f.schema {
			continue
		}
		schema, err := p.normalizer.Schema(name, f.options)
		if err != nil {
			return fmt.Errorf("%w: %w", app.ErrUsage, err)
		}
		p.schemas = append(p.schemas, schema)
	}
	if len(p.schemas) == 0 {
		_, err := p.normalizer.Schema(f.schema, nil)
		return fmt.Errorf("%w: --schema: %w", app.ErrUsage, err)
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	p.show = p.sideBySide
	switch {
	case f.size:
		p.show = p.weigh
	case f.schema != "":
		p.show = p.event
	}
	for _, file := range files {
		if err := p.file(out, file, f.stream, cmd.InOrStdin()); err != nil {
			_ = out.Flush()
			return err
		}
	}
	if f.size {
		p.sizes(out)
	}
	return out.Flush()
}

// previewer shows records.
type previewer struct {
	normalizer *normalizer.Normalizer
	schemas    []event.Schema
	show       func(w io.Writer, rec event.Record) error
	stderr     io.Writer
	records    int
	bytes      [][]int // by schema, of each event
}

// unknown tells of members and words that the tables do not know: they are in the record alone.
func (p *previewer) unknown(stream, name string) {
	fmt.Fprintf(p.stderr, "%s: not known: %s\n", stream, name)
}

func (p *previewer) file(w io.Writer, file, stream string, stdin io.Reader) error {
	records, err := readRecords(file, stdin)
	if err != nil {
		return err
	}
	for _, r := range records {
		p.records++
		if err := p.show(w, previewRecord(stream, r.raw)); err != nil {
			return fmt.Errorf("%s:%d: %w", file, r.line, err)
		}
	}
	return nil
}

// event prints the event alone.
func (p *previewer) event(w io.Writer, rec event.Record) error {
	body, err := p.normalizer.Normalize(nil, rec, p.schemas[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", body)
	return err
}

// weigh counts the bytes of the record's events.
func (p *previewer) weigh(_ io.Writer, rec event.Record) error {
	sizes := []int{len(rec.Raw)}
	for _, schema := range p.schemas {
		body, err := p.normalizer.Normalize(nil, rec, schema)
		if err != nil {
			return err
		}
		sizes = append(sizes, len(body))
	}
	p.bytes = append(p.bytes, sizes)
	return nil
}

// sizes prints what weigh has counted.
func (p *previewer) sizes(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "BYTES\tEVENTS\tTOTAL\tMEAN\tSMALLEST\tLARGEST\t")
	names := []string{"(as given)"}
	for _, s := range p.schemas {
		names = append(names, s.Name)
	}
	for i, name := range names {
		total, least, most := 0, p.bytes[0][i], 0
		for _, sizes := range p.bytes {
			total += sizes[i]
			least, most = min(least, sizes[i]), max(most, sizes[i])
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t\n", name, p.records, total, total/p.records, least, most)
	}
	_ = t.Flush()
}

// longestValue bounds how much of a value is shown.
const longestValue = 60

// sideBySide prints each member of the record, and beside it the fields that came of it, a line for each schema.
func (p *previewer) sideBySide(w io.Writer, rec event.Record) error {
	var schemas []string
	var traced [][]normalizer.Traced
	for _, schema := range p.schemas {
		if schema.Name == "raw" {
			continue // everything is where it was
		}
		members, err := p.normalizer.Trace(rec, schema)
		if err != nil {
			return err
		}
		schemas, traced = append(schemas, schema.Name), append(traced, members)
	}
	fmt.Fprintf(w, "record %d: %s %s\n", p.records, rec.Key.Stream, rec.ID)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEMBER\tVALUE\tSCHEMA\tFIELDS")
	for i, m := range traced[0] {
		member, value := m.Member, []rune(m.Value)
		if len(value) > longestValue {
			value = append(value[:longestValue-2], '.', '.')
		}
		for k, schema := range schemas {
			fields := strings.Join(traced[k][i].Fields, ", ")
			if fields == "" {
				fields = "-"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", member, string(value), schema, fields)
			member, value = "", nil
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
