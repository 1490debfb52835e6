// Command kfakepeer runs franz-go's kfake, a Kafka in Go: any number of brokers, TLS, SASL, idempotent and
// transactional producers, records that survive a restart (-data-dir). kafkadump reads what it stored.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

const kfakeModule = "github.com/twmb/franz-go/pkg/kfake"

var (
	topics     = flag.String("topics", "", "topics to create, separated by commas")
	partitions = flag.Int("partitions", 3, "partitions of each topic")
	brokers    = flag.Int("brokers", 1, "number of brokers on free ports")
	ports      = flag.String("ports", "", "ports of the brokers on 127.0.0.1, separated by commas, instead of -brokers")
	sasl       = flag.String("sasl", "", "user:password for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; without effect on a -data-dir in use")
	dataDir    = flag.String("data-dir", "", "keep records here over restarts; empty keeps them in memory")
	autoCreate = flag.Bool("auto-create", false, "create missing topics when a client asks for them")
	verbose    = flag.Bool("verbose", false, "log every request on stderr")
)

func main() {
	peer.Main(peer.Peer{
		Probe: func(s *peer.Status) { s.Ready, s.Version = true, peer.ModuleVersion(kfakeModule) },
		Serve: serve,
	})
}

func serve(ctx context.Context, o *peer.Options) error {
	cert, err := o.Certificate()
	if err != nil {
		return err
	}
	opts, err := options(cert)
	if err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return fmt.Errorf("start kfake: %w", err)
	}
	defer cluster.Close()
	ready := peer.Ready{
		Receiver: "kfake", Version: peer.ModuleVersion(kfakeModule),
		Address: strings.Join(cluster.ListenAddrs(), ","),
	}
	if cert != nil {
		ready.CA = cert.CA
	}
	if err := peer.Announce(ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func options(cert *peer.Certificate) ([]kfake.Opt, error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(*brokers),
		kfake.DefaultNumPartitions(*partitions),
		kfake.SeedTopics(int32(*partitions), peer.List(*topics)...),
	}
	if *ports != "" {
		var numbers []int
		for _, p := range peer.List(*ports) {
			n, err := strconv.Atoi(p)
			if err != nil {
				return nil, fmt.Errorf("parse -ports: %w", err)
			}
			numbers = append(numbers, n)
		}
		opts = append(opts, kfake.Ports(numbers...))
	}
	if cert != nil {
		pair, err := tls.LoadX509KeyPair(cert.Cert, cert.Key)
		if err != nil {
			return nil, fmt.Errorf("load server certificate: %w", err)
		}
		opts = append(opts, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	if *sasl != "" {
		user, password, ok := strings.Cut(*sasl, ":")
		if !ok {
			return nil, fmt.Errorf("parse -sasl: want user:password")
		}
		opts = append(opts, kfake.EnableSASL())
		for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
			opts = append(opts, kfake.Superuser(mechanism, user, password))
		}
	}
	if *dataDir != "" {
		opts = append(opts, kfake.DataDir(*dataDir))
	}
	if *autoCreate {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	if *verbose {
		opts = append(opts, kfake.WithLogger(kfake.BasicLogger(os.Stderr, kfake.LogLevelDebug)))
	}
	return opts, nil
}
