package main

import (
	"strings"
	"testing"
)

func TestOrdinal(t *testing.T) {
	for _, c := range []struct {
		name, host string
		pod        string // "": it is refused
		n          uint
	}{
		{"logferry-0", "other-7", "logferry-0", 0},
		{"", "logferry-0", "logferry-0", 0},
		{"", "web-3-logs-12", "web-3-logs-12", 12},
		{"", "logferry-1.logferry-2.siem.svc.cluster.local", "logferry-1", 1}, // setHostnameAsFQDN
		{"logferry.example-1", "x-2", "logferry.example-1", 1},
		{"logferry", "logferry-0", "", 0},
		{"", "", "", 0},
		{"", "0", "", 0},
		{"", "7", "", 0},
		{"logferry-", "", "", 0},
		{"logferry-01", "", "", 0},
		{"logferry-+1", "", "", 0},
		{"logferry-x1", "", "", 0},
		{"logferry-5d4f7c9b8-x2k4q", "", "", 0}, // a Deployment's
		{"logferry-99999999999999999999", "", "", 0},
	} {
		pod, n, err := ordinal(c.name, c.host)
		if pod != c.pod || n != c.n || (err != nil) != (c.pod == "") {
			t.Errorf("POD_NAME %q, host %q: pod %q, ordinal %d, error %v; want %q, %d", c.name, c.host, pod, n, err, c.pod, c.n)
		}
		if err != nil && !strings.Contains(err.Error(), "POD_NAME") {
			t.Errorf("POD_NAME %q, host %q: the error does not say what to set: %v", c.name, c.host, err)
		}
	}
}
