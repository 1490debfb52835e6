package syslog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// message is a syslog message as this test's own parser reads it, which shares nothing with the encoder but the RFC.
type message struct {
	pri                            int
	time                           time.Time // zero for "-"
	host, app, procID, msgID, sdID string
	params                         map[string]string
	body                           string
	size                           int
}

// readFrame reads one octet-counted message (RFC 6587 section 3.4.1); io.EOF only between messages.
func readFrame(r *bufio.Reader) (string, error) {
	first, err := r.ReadByte()
	if err != nil {
		return "", err
	}
	digits := []byte{first}
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", io.ErrUnexpectedEOF
		}
		if c == ' ' {
			break
		}
		if digits = append(digits, c); len(digits) > 8 {
			return "", fmt.Errorf("octet count starts with %q", digits)
		}
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil || digits[0] < '1' || digits[0] > '9' {
		return "", fmt.Errorf("octet count is %q", digits)
	}
	msg := make([]byte, n)
	if _, err := io.ReadFull(r, msg); err != nil {
		return "", io.ErrUnexpectedEOF
	}
	return string(msg), nil
}

// parse reads a message by the grammar of RFC 5424 section 6, strictly, with exactly one structured data element.
func parse(s string) (message, error) {
	m := message{params: map[string]string{}, size: len(s)}
	rest, ok := strings.CutPrefix(s, "<")
	pri, rest, ok2 := strings.Cut(rest, ">")
	if !ok || !ok2 {
		return m, errors.New("no PRI")
	}
	var err error
	if m.pri, err = strconv.Atoi(pri); err != nil || m.pri > 191 || strconv.Itoa(m.pri) != pri {
		return m, fmt.Errorf("PRI %q", pri)
	}
	if rest, ok = strings.CutPrefix(rest, "1 "); !ok {
		return m, errors.New("version is not 1")
	}
	var stamp string
	for _, f := range []struct {
		to   *string
		name string
		most int
	}{{&stamp, "TIMESTAMP", 32}, {&m.host, "HOSTNAME", 255}, {&m.app, "APP-NAME", 48}, {&m.procID, "PROCID", 128}, {&m.msgID, "MSGID", 32}} {
		if *f.to, rest, ok = strings.Cut(rest, " "); !ok || *f.to == "" || len(*f.to) > f.most {
			return m, fmt.Errorf("%s %q", f.name, *f.to)
		}
		for _, c := range []byte(*f.to) {
			if c < 33 || c > 126 {
				return m, fmt.Errorf("%s %q has octet %d", f.name, *f.to, c)
			}
		}
	}
	if stamp != "-" {
		if m.time, err = time.Parse("2006-01-02T15:04:05.999999Z", stamp); err != nil {
			return m, err
		}
	}
	return m, m.parseData(rest)
}

func (m *message) parseData(rest string) error {
	rest, ok := strings.CutPrefix(rest, "[")
	end := strings.IndexAny(rest, " ]")
	if !ok || end < 1 || end > 32 {
		return errors.New("no structured data")
	}
	m.sdID, rest = rest[:end], rest[end:]
	for strings.HasPrefix(rest, " ") {
		name, value, ok := strings.Cut(rest[1:], `="`)
		if !ok || name == "" || len(name) > 32 || strings.ContainsAny(name, `= ]"`) {
			return fmt.Errorf("PARAM-NAME %.40q", name)
		}
		var b strings.Builder
		i := 0
		for ; i < len(value) && value[i] != '"'; i++ {
			if value[i] == '\\' && i+1 < len(value) && strings.IndexByte(`"\]`, value[i+1]) >= 0 {
				i++
			} else if value[i] == ']' {
				return fmt.Errorf("unescaped ] in %s", name)
			}
			b.WriteByte(value[i])
		}
		if i == len(value) || !utf8.ValidString(b.String()) {
			return fmt.Errorf("PARAM-VALUE of %s", name)
		}
		if _, twice := m.params[name]; twice {
			return fmt.Errorf("%s occurs twice", name)
		}
		m.params[name], rest = b.String(), value[i+1:]
	}
	if m.body, ok = strings.CutPrefix(rest, "] "); !ok {
		return fmt.Errorf("after structured data comes %.20q", rest)
	}
	return nil
}
