// Command kafkadump prints every record of some topics as NDJSON, from the beginning to the end as it was when the
// command started, and exits. It reads kfake and Apache Kafka alike, with a client that shares no code with logferry's.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

var (
	brokers   = flag.String("brokers", "", "addresses, separated by commas (required)")
	topics    = flag.String("topics", "", "topics, separated by commas (required)")
	tlsCA     = flag.String("tls-ca", "", "PEM file: speak TLS and trust this root")
	sasl      = flag.String("sasl", "", "user:password")
	mechanism = flag.String("sasl-mechanism", "SCRAM-SHA-512", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	committed = flag.Bool("committed", false, "leave out records of aborted and open transactions")
	timeout   = flag.Duration("timeout", 30*time.Second, "give up after this long")
)

func main() {
	flag.Parse()
	if *brokers == "" || *topics == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: kafkadump -brokers ADDRESS,... -topics NAME,...")
		flag.PrintDefaults()
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if err := dump(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kafkadump:", err)
		os.Exit(1)
	}
}

func dump(ctx context.Context) error {
	opts, err := clientOptions()
	if err != nil {
		return err
	}
	admin, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	defer admin.Close()
	starts, ends, err := bounds(ctx, kadm.NewClient(admin))
	if err != nil {
		return err
	}
	if len(ends) == 0 {
		return nil // nothing is stored
	}
	consumer, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(starts),
		kgo.KeepControlRecords(), // the end offset counts transaction markers
	)...)
	if err != nil {
		return fmt.Errorf("make consumer: %w", err)
	}
	defer consumer.Close()
	out := bufio.NewWriter(os.Stdout)
	if err := copyRecords(ctx, consumer, ends, out); err != nil {
		return errors.Join(err, out.Flush())
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

func clientOptions() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(peer.List(*brokers)...)}
	if *committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if *tlsCA != "" {
		pem, err := os.ReadFile(*tlsCA)
		if err != nil {
			return nil, fmt.Errorf("read -tls-ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read -tls-ca: no certificate in %s", *tlsCA)
		}
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{RootCAs: roots}))
	}
	if *sasl == "" {
		return opts, nil
	}
	user, password, _ := strings.Cut(*sasl, ":")
	switch *mechanism {
	case "PLAIN":
		return append(opts, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism())), nil
	case "SCRAM-SHA-256":
		return append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism())), nil
	case "SCRAM-SHA-512":
		return append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism())), nil
	}
	return nil, fmt.Errorf("parse -sasl-mechanism: unknown %q", *mechanism)
}

// partition names one log.
type partition struct {
	topic string
	id    int32
}

// bounds returns where to start in each partition that holds something, and the offset after its last record.
func bounds(ctx context.Context, admin *kadm.Client) (map[string]map[int32]kgo.Offset, map[partition]int64, error) {
	names := peer.List(*topics)
	first, err := admin.ListStartOffsets(ctx, names...)
	if err == nil {
		err = first.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list start offsets: %w", err)
	}
	list := admin.ListEndOffsets
	if *committed {
		list = admin.ListCommittedOffsets
	}
	last, err := list(ctx, names...)
	if err == nil {
		err = last.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list end offsets: %w", err)
	}
	starts, ends := map[string]map[int32]kgo.Offset{}, map[partition]int64{}
	last.Each(func(o kadm.ListedOffset) {
		start, _ := first.Lookup(o.Topic, o.Partition)
		if start.Offset >= o.Offset {
			return
		}
		if starts[o.Topic] == nil {
			starts[o.Topic] = map[int32]kgo.Offset{}
		}
		starts[o.Topic][o.Partition] = kgo.NewOffset().At(start.Offset)
		ends[partition{o.Topic, o.Partition}] = o.Offset
	})
	return starts, ends, nil
}

// copyRecords writes records till each partition in ends has reached its offset.
func copyRecords(ctx context.Context, consumer *kgo.Client, ends map[partition]int64, out *bufio.Writer) error {
	for len(ends) > 0 {
		fetches := consumer.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return fmt.Errorf("fetch %s[%d]: %w", e.Topic, e.Partition, e.Err)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			p := partition{r.Topic, r.Partition}
			end, open := ends[p]
			if !open || r.Offset >= end {
				continue // written after we began
			}
			if r.Offset == end-1 {
				delete(ends, p)
			}
			if r.Attrs.IsControl() {
				continue
			}
			if err := writeRecord(out, r); err != nil {
				return err
			}
		}
	}
	return nil
}
