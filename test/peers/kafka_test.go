package peers_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

type dumped struct {
	Topic       string            `json:"topic"`
	Partition   int32             `json:"partition"`
	Offset      int64             `json:"offset"`
	TimestampMS int64             `json:"timestamp_ms"`
	Key         *string           `json:"key"`
	Headers     map[string]string `json:"headers"`
	Value       *string           `json:"value"`
	ValueBase64 []byte            `json:"value_base64"`
}

// jarsOf is where setup.sh puts the jars of a receiver.
func jarsOf(name string) string {
	cache, _ := os.UserCacheDir()
	if base := os.Getenv("LOGFERRY_PEERS"); base != "" {
		cache = base
	}
	return filepath.Join(cache, "logferry-peers", name, "jars")
}

// TestKafka sends to both brokers by the same steps, and reads again over TLS after a restart in the same folder.
func TestKafka(t *testing.T) {
	for _, tc := range []struct {
		name string
		args func(dir string) []string
	}{
		{"kfakepeer", func(dir string) []string { return []string{"-data-dir=" + filepath.Join(dir, "data")} }},
		{"kafkapeer", func(string) []string { return []string{"-jars=" + jarsOf("kafka")} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			requirePeer(t, tc.name, tc.args(dir)...)
			args := append(tc.args(dir), "-topics=a,b", "-partitions=2")

			p := start(t, tc.name, dir, args...)
			at := time.UnixMilli(1700000000123)
			produce(t, p.Address,
				&kgo.Record{
					Topic: "a", Partition: 1, Timestamp: at, Key: []byte("user"), Value: []byte(`{"é":"<1>"}`),
					Headers: []kgo.RecordHeader{{Key: "event_id", Value: []byte("e1")}},
				},
				&kgo.Record{Topic: "b", Partition: 0, Timestamp: at, Value: []byte{0xff, 0xfe}})
			key, value := "user", `{"é":"<1>"}`
			want := []dumped{
				{Topic: "a", Partition: 1, TimestampMS: at.UnixMilli(), Key: &key, Headers: map[string]string{"event_id": "e1"}, Value: &value},
				{Topic: "b", TimestampMS: at.UnixMilli(), Headers: map[string]string{}, ValueBase64: []byte{0xff, 0xfe}},
			}
			if got := dump(t, "-brokers", p.Address, "-topics", "a,b"); !reflect.DeepEqual(got, want) {
				t.Errorf("dump = %+v, want %+v", got, want)
			}
			if got := dump(t, "-brokers", p.Address, "-topics", "b"); len(got) != 1 {
				t.Errorf("dump of one topic = %+v, want one record", got)
			}
			if err := p.stop(t); err != nil {
				t.Fatalf("stop: %v", err)
			}

			p = start(t, tc.name, dir, append(args, "-tls")...)
			if got := dump(t, "-brokers", p.Address, "-topics", "a,b", "-tls-ca", p.CA); !reflect.DeepEqual(got, want) {
				t.Errorf("after the restart: dump = %+v, want %+v", got, want)
			}
		})
	}
}

func TestKafkaWithSASLAndTransactions(t *testing.T) {
	for name, args := range map[string][]string{
		"kfakepeer": {"-brokers=3"},
		"kafkapeer": {"-jars=" + jarsOf("kafka"), "-config=message.max.bytes=4096;auto.create.topics.enable=false"},
	} {
		t.Run(name, func(t *testing.T) {
			requirePeer(t, name, args...)
			p := start(t, name, t.TempDir(), append(args, "-topics=a", "-partitions=1", "-tls", "-sasl=shipper:secret")...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			commitAndAbort(ctx, t, p)
			for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
				args := []string{"-brokers", p.Address, "-topics", "a", "-tls-ca", p.CA, "-sasl", "shipper:secret", "-sasl-mechanism", mechanism}
				if got := dump(t, args...); len(got) != 2 {
					t.Errorf("%s: dump = %+v, want both records", mechanism, got)
				}
				if got := dump(t, append(args, "-committed")...); len(got) != 1 || *got[0].Value != "kept" {
					t.Errorf("%s: dump -committed = %+v, want the kept record", mechanism, got)
				}
			}
			wrong := exec.Command(filepath.Join(bin, "kafkadump"), "-brokers", p.Address, "-topics", "a", "-tls-ca", p.CA,
				"-sasl", "shipper:wrong", "-timeout", "10s")
			if out, err := wrong.Output(); err == nil {
				t.Errorf("a wrong password was taken: %s", out)
			}
		})
	}
}

// commitAndAbort sends "kept" in a transaction that is committed and "aborted" in one that is not. On Apache Kafka it
// also checks that -config has an effect.
func commitAndAbort(ctx context.Context, t *testing.T, p *process) {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(p.Address, ",")...), kgo.DialTLSConfig(trust(t, p.CA)),
		kgo.SASL(scram.Auth{User: "shipper", Pass: "secret"}.AsSha512Mechanism()),
		kgo.TransactionalID("t1"), kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(value string) error {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		return client.ProduceSync(ctx, &kgo.Record{Topic: "a", Value: []byte(value)}).FirstErr()
	}
	for value, end := range map[string]kgo.TransactionEndTry{"kept": kgo.TryCommit, "aborted": kgo.TryAbort} {
		if err := send(value); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	if p.Receiver == "kafka" {
		if err := send(strings.Repeat("x", 8192)); !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("a record above message.max.bytes: %v, want %v", err, kerr.MessageTooLarge)
		}
	}
}

func produce(t *testing.T, address string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// dump returns what kafkadump prints, ordered by topic and partition.
func dump(t *testing.T, args ...string) []dumped {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, "kafkadump"), args...).Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("kafkadump: %v\n%s", err, exit.Stderr)
	}
	var all []dumped
	for line := range strings.Lines(string(out)) {
		var d dumped
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("decode %q: %v", line, err)
		}
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b dumped) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return all
}
