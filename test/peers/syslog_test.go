package peers_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

type message struct {
	Input    string                       `json:"in"`
	Pri      string                       `json:"pri"`
	Facility string                       `json:"facility"`
	Severity string                       `json:"severity"`
	Time     string                       `json:"ts"`
	Host     string                       `json:"host"`
	App      string                       `json:"app"`
	ProcID   string                       `json:"procid"`
	MsgID    string                       `json:"msgid"`
	SD       map[string]map[string]string `json:"sdparsed"`
	Msg      string                       `json:"msg"`
}

const syslogMessage = `<165>1 2026-01-02T03:04:05.678Z h1.example.com logferry 42 signin [audit@32473 tenant="t\"1"] line one` + "\nline two"

func TestRsyslog(t *testing.T) {
	requirePeer(t, "rsyslogpeer")
	dir := t.TempDir()
	p := start(t, "rsyslogpeer", dir)
	octets := fmt.Sprintf("%d %s", len(syslogMessage), syslogMessage)
	send := map[string]func() error{
		"tcp": func() error { return write(net.Dial("tcp", p.Address))(octets) },
		"udp": func() error { return write(net.Dial("udp", p.UDPAddress))(syslogMessage) },
		"tls": func() error { return write(tls.Dial("tcp", p.TLSAddress, trust(t, p.CA)))(octets) },
	}
	if p.RELPAddress == "" {
		t.Log("not tried: RELP, rsyslog-relp is not installed")
	} else {
		send["relp"] = func() error { return relp(net.Dial("tcp", p.RELPAddress)) }
		send["relptls"] = func() error { return relp(tls.Dial("tcp", p.RELPTLSAddress, trust(t, p.CA))) }
	}
	for name, f := range send {
		if err := f(); err != nil {
			t.Fatalf("send by %s: %v", name, err)
		}
	}
	var got []message
	eventually(t, func() (err error) {
		if got, err = lines[message](p.Out); err == nil && len(got) < len(send) {
			err = fmt.Errorf("%d of %d messages arrived: %+v", len(got), len(send), got)
		}
		return err
	})
	for _, m := range got {
		if send[m.Input] == nil {
			t.Errorf("message by %q came twice or by an unknown input", m.Input)
		}
		delete(send, m.Input)
		want := message{
			Input: m.Input, Pri: "165", Facility: "local4", Severity: "notice", Time: "2026-01-02T03:04:05.678Z",
			Host: "h1.example.com", App: "logferry", ProcID: "42", MsgID: "signin", Msg: "line one\nline two",
			SD: map[string]map[string]string{"audit@32473": {"tenant": `t"1`}},
		}
		if fmt.Sprint(m) != fmt.Sprint(want) {
			t.Errorf("message by %s\n%+v\nwant\n%+v", m.Input, m, want)
		}
	}
	if err := p.stop(t); err != nil {
		t.Fatalf("stop: %v", err)
	}
	again := start(t, "rsyslogpeer", dir, "-port", portOf(t, p.Address), "-tls-port", portOf(t, p.TLSAddress))
	if again.Address != p.Address || again.TLSAddress != p.TLSAddress {
		t.Errorf("addresses after a restart = %+v, want those of %+v", again.Ready, p.Ready)
	}
	if err := write(net.Dial("tcp", p.Address))("<13>1 - - - - - - no structured data\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		b, err := os.ReadFile(p.Out)
		if err == nil && !bytes.Contains(b, []byte(`"sdparsed": {}, "msg":"no structured data"`)) {
			err = fmt.Errorf("want one more message with an empty sdparsed:\n%s", b)
		}
		return err
	})
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// write returns a function that writes one string to a new connection and closes it.
func write[C net.Conn](conn C, err error) func(string) error {
	return func(s string) error {
		if err != nil {
			return err
		}
		_, err := io.WriteString(conn, s)
		return errors.Join(err, conn.Close())
	}
}

// relp sends the message with the three commands of a RELP session and reads their replies.
func relp[C net.Conn](conn C, err error) error {
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	for i, command := range [][2]string{
		{"open", "relp_version=0\nrelp_software=test\ncommands=syslog"}, {"syslog", syslogMessage}, {"close", ""},
	} {
		frame := fmt.Sprintf("%d %s %d", i+1, command[0], len(command[1]))
		if command[1] != "" {
			frame += " " + command[1]
		}
		if _, err := io.WriteString(conn, frame+"\n"); err != nil {
			return err
		}
		var txn, size int
		if _, err := fmt.Fscanf(r, "%d rsp %d", &txn, &size); err != nil {
			return fmt.Errorf("read reply to %s: %w", command[0], err)
		}
		reply := make([]byte, size)
		if size > 0 {
			r.ReadByte() // the space
			if _, err := io.ReadFull(r, reply); err != nil {
				return err
			}
			if !strings.HasPrefix(string(reply), "200") {
				return fmt.Errorf("reply to %s = %q", command[0], reply)
			}
		}
		r.ReadByte() // the line feed
	}
	return nil
}
