package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// document is a Markdown file as far as the tests are concerned.
type document struct {
	name   string // below the root: "docs/auth.md"
	text   string
	blocks []block
}

// block is a fenced block, or a setup that readers do not see.
type block struct {
	line  int // of its first line of text
	lang  string
	text  string
	notes []note // of the comments before it
}

// note is one <!-- test: WORD REST -->. The words:
//
//	setup        the comment's further lines are shell, run in place of a block
//	file NAME    the block is written to NAME
//	exit N       the shell block ends with this exit code instead of 0
//	until TEXT   the shell block runs until its output has TEXT, and is then interrupted
//	background TEXT   the same, but it goes on beside the blocks that follow, and is interrupted at the document's end
//	here         the shell block runs in the repository
//	output       the text block is compared with the output of the shell block before it, numbers and times masked
type note struct{ word, rest string }

func (b block) note(word string) (string, bool) {
	i := slices.IndexFunc(b.notes, func(n note) bool { return n.word == word })
	if i < 0 {
		return "", false
	}
	return b.notes[i].rest, true
}

// notRun gives the reason of a shell block that says so in its first line.
func (b block) notRun() (string, bool) {
	first, _, _ := strings.Cut(b.text, "\n")
	return strings.CutPrefix(first, "# not run: ")
}

var (
	notePattern  = regexp.MustCompile(`(?s)<!-- test: (\w+) ?([^\n]*?)(?: -->|\n(.*?)-->)`)
	fencePattern = regexp.MustCompile("^( *)```(.*)$")
)

// parse finds the blocks. A fence may stand in a list, indented; its text loses that indent.
func parse(name, text string) (document, error) {
	d := document{name: name, text: text}
	lines := strings.Split(text, "\n")
	var notes []note
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if strings.HasPrefix(line, "<!-- test:") {
			from := i
			for i < len(lines)-1 && !strings.Contains(lines[i], "-->") {
				i++
			}
			m := notePattern.FindStringSubmatch(strings.Join(lines[from:i+1], "\n"))
			if m == nil {
				return d, fmt.Errorf("%s:%d: a test comment that cannot be read: %q", name, from+1, line)
			}
			switch m[1] {
			case "setup":
				d.blocks = append(d.blocks, block{line: from + 2, lang: "setup", text: m[3]})
			case "file", "exit", "until", "background", "here", "output":
				notes = append(notes, note{m[1], strings.TrimSpace(m[2])})
			default:
				return d, fmt.Errorf("%s:%d: there is no test comment %q", name, from+1, m[1])
			}
			continue
		}
		m := fencePattern.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		b := block{line: i + 2, lang: m[2], notes: notes}
		notes = nil
		for i++; ; i++ {
			if i == len(lines) {
				return d, fmt.Errorf("%s:%d: a block without an end", name, b.line-1)
			}
			if strings.TrimSpace(lines[i]) == "```" {
				break
			}
			b.text += strings.TrimPrefix(lines[i], m[1]) + "\n"
		}
		d.blocks = append(d.blocks, b)
	}
	if len(notes) > 0 {
		return d, fmt.Errorf("%s: the test comment %q has no block behind it", name, notes[0].word)
	}
	return d, nil
}

// documents are all of them that readers are sent to.
func documents(t *testing.T) []document {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "deploy/*/README.md", "deploy/*/*/README.md", "test/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	var all []document
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := parse(filepath.ToSlash(name), string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	if len(all) < 10 {
		t.Fatalf("%d documents were found", len(all))
	}
	return all
}

// languages are those that a block may have: a command that hides in a block of another kind would not be run.
var languages = []string{"sh", "text", "yaml", "json", "go", "spl", "kusto", "esql", "powershell", "setup",
	"yaml values"} // of the chart: test/chart renders them

var indentedCommand = regexp.MustCompile(`(?m)^(    |\t)(\$ )?(logferry|make|go|bin/logferry|curl|kubectl|helm|docker|openssl|install|az) `)

// TestCommandsStandInShellBlocks: what looks like a command to be typed stands where TestBlocks runs it.
func TestCommandsStandInShellBlocks(t *testing.T) {
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if !slices.Contains(languages, b.lang) {
				t.Errorf("%s:%d: a block of kind %q: there are %v", d.name, b.line-1, b.lang, languages)
			}
		}
		if found := indentedCommand.FindString(unfenced(d.text)); found != "" {
			t.Errorf("%s has an indented command instead of a shell block: %q", d.name, strings.TrimSpace(found))
		}
	}
}

var fenced = regexp.MustCompile("(?ms)^ *```.*?^ *```$")

// unfenced gives the text outside of blocks and comments.
func unfenced(text string) string {
	return fenced.ReplaceAllString(regexp.MustCompile(`(?s)<!--.*?-->`).ReplaceAllString(text, ""), "")
}
