package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/logferry/logferry/pkg/event"
)

func TestUserKey(t *testing.T) {
	const zero = "00000000-0000-0000-0000-000000000000"
	for _, tc := range []struct{ raw, want string }{
		{`{"id":"1","userId":"u"}`, "u"},
		{`{"servicePrincipalId":"s","userId":"u"}`, "u"},
		{`{"userId":null,"servicePrincipalId":"s","initiatedBy":{"user":{"id":"i"}}}`, "s"},
		{`{"userId":"","servicePrincipalId":"","initiatedBy":{"app":{"servicePrincipalId":"a"},"user":{"id":"i"}}}`, "i"},
		{`{"initiatedBy":{"user":null,"app":{"appId":"x","servicePrincipalId":"a"}}}`, "a"},
		{`{"initiatedBy":{"user":{"id":null,"userPrincipalName":"x"},"app":{"servicePrincipalId":null}}}`, ""},
		{`{"userId":"` + zero + `","userPrincipalName":"adele@contoso.com"}`, "adele@contoso.com"},
		{`{"userId":"` + zero + `"}`, ""},
		{`{"userId":"a\u002db"}`, "a-b"},
		{`{"userId":17}`, ""},
		{`{"nested":{"userId":"no"},"list":[{"userId":"no"}]}`, ""},
		{`{"initiatedBy":"text"}`, ""},
		{`{"initiatedBy":[]}`, ""},
		{`{`, ""}, {``, ""}, {`[]`, ""}, {`null`, ""},
	} {
		if got := string(userKey([]byte(tc.raw))); got != tc.want {
			t.Errorf("%s: key %q, want %q", tc.raw, got, tc.want)
		}
	}
}

func FuzzUserKey(f *testing.F) {
	f.Add([]byte(`{"userId":"","initiatedBy":{"user":{"id":"\ud83d\ude00"},"app":null}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if key := userKey(raw); key != nil && len(key) > len(raw) {
			t.Errorf("key %q is longer than the record", key)
		}
	})
}

func TestKeyOf(t *testing.T) {
	e := &newEvents(1, "audits")[0]
	for kind, want := range map[string]string{keyUser: "user-0", keyEventID: e.EventID.String(), keyTenant: e.Key.Tenant, keyNone: ""} {
		if got := keyOf(kind, e); string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s: key %q, want %q", kind, got, want)
		}
	}
}

// readSet decodes what encode has made with kafka-go's reader.
func readSet(set []byte) ([]stored, error) {
	var rs protocol.RecordSet
	if _, err := rs.ReadFrom(bytes.NewReader(set)); err != nil {
		return nil, err
	}
	return decode("", 0, rs.Records)
}

// TestEncodeBytes holds one batch against the layout, byte by byte.
func TestEncodeBytes(t *testing.T) {
	e := event.Event{Body: []byte("{}"), Record: event.Record{Time: time.UnixMilli(1000), Key: event.StreamKey{Stream: "audits", Tenant: "t"}}}
	copy(e.EventID[:], "0123456789abcdefghijkl")
	old := e
	old.Time = time.UnixMilli(400)
	got, err := newEncoder(0, "").encode(nil, []event.Event{e, old}, []int{0, 1}, [][]byte{nil, []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	headers := "\x08\x18content-type\x20application/json\x10event_id\x2c0123456789abcdefghijkl\x0cstream\x0caudits\x0ctenant\x02t"
	first := "\x00\x00\x00\x01\x04{}" + headers       // attributes, delta 0, offset 0, key -1, value
	second := "\x00\xaf\x09\x02\x02k\x04{}" + headers // delta -600, offset 1
	records := string(binary.AppendVarint(nil, int64(len(first)))) + first + string(binary.AppendVarint(nil, int64(len(second)))) + second
	want := fmt.Sprintf("%s%s%s", "\x00\x00\x00\x00\x00\x00\x00\x00", // base offset
		"LLLL\xff\xff\xff\xff\x02CCCC\x00\x00\x00\x00\x00\x01", // length, epoch, magic, checksum, attributes, last offset delta
		"\x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x00\x00\x00\x03\xe8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x02"+records)
	set := bytes.Clone(got)
	copy(set[4+8:], "LLLL")
	copy(set[4+17:], "CCCC")
	if diff := cmp.Diff(want, string(set[4:])); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	if n := binary.BigEndian.Uint32(got); int(n) != len(got)-4 || binary.BigEndian.Uint32(got[12:]) != n-12 {
		t.Errorf("lengths are %d and %d of %d bytes", n, binary.BigEndian.Uint32(got[12:]), len(got))
	}
	if _, err := readSet(got); err != nil { // checks the checksum
		t.Error(err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add(uint8(3), []byte("key"), []byte(`{"a":1}`), int64(1772366400000), "signins.interactive")
	f.Add(uint8(0), []byte{}, []byte{}, int64(-5), "")
	f.Fuzz(func(t *testing.T, codec uint8, key, body []byte, ms int64, stream string) {
		ms %= 1 << 45
		events := newEvents(3, stream)
		events[1].Body, events[1].Time = body, time.UnixMilli(ms)
		keys := [][]byte{nil, key, []byte("k")}
		set, err := newEncoder(kafka.Compression(codec%5), "cef").encode([]byte("before"), events, []int{0, 1, 2}, keys)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readSet(set[len("before"):])
		if err != nil || len(got) != 3 {
			t.Fatalf("%d records: %v", len(got), err)
		}
		for i, r := range got {
			e := &events[i]
			if r.value != string(e.Body) || !bytes.Equal(r.key, keys[i]) || r.millis != millis(&e.Record) || r.headers["stream"] != stream ||
				r.headers["event_id"] != e.EventID.String() || r.headers["content-type"] != "text/plain; charset=utf-8" || len(r.headers) != 5 {
				t.Fatalf("record %d is %+v", i, r)
			}
		}
	})
}

func TestVarintLen(t *testing.T) {
	for shift := range 63 {
		for _, v := range []int64{1<<shift - 1, 1 << shift, -1 << shift, -1<<shift - 1} {
			if got, want := varintLen(v), len(binary.AppendVarint(nil, v)); got != want {
				t.Errorf("%d: %d, want %d", v, got, want)
			}
		}
	}
}
