// Command kafkapeer runs Apache Kafka in KRaft mode, broker and controller in one JVM, from a folder of jars
// (kafka/pom.xml says which). kafkadump reads what it stored.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

// clusterID is any UUID in Kafka's base64 form; a folder never holds two clusters.
const clusterID = "bG9nZmVycnktcGVlci1raw"

// minJava is what Kafka 4's broker needs.
const minJava = 17

var (
	jars       = flag.String("jars", "", "folder with Kafka's jars (required)")
	port       = flag.Int("port", 0, "port on 127.0.0.1; 0 chooses a free one")
	topics     = flag.String("topics", "", "topics to create, separated by commas")
	partitions = flag.Int("partitions", 3, "partitions of each topic")
	sasl       = flag.String("sasl", "", "user:password for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; made with a new -dir only")
	config     = flag.String("config", "", "more broker settings, e.g. message.max.bytes=2000000;auto.create.topics.enable=false")
)

func main() { peer.Main(peer.Peer{Probe: probe, Serve: serve}) }

func probe(s *peer.Status) {
	var err error
	if s.Version, err = kafkaVersion(); err == nil {
		err = checkJava()
	}
	if err != nil {
		s.Why = err.Error()
		return
	}
	s.Ready = true
}

func kafkaVersion() (string, error) {
	found, _ := filepath.Glob(filepath.Join(*jars, "kafka_2.13-*.jar"))
	if *jars == "" || len(found) == 0 {
		return "", fmt.Errorf("no Kafka jars in %q: run setup.sh on a machine with java and mvn, or give -jars", *jars)
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "kafka_2.13-"), ".jar"), nil
}

// checkJava reads the major version from java's settings, e.g. "java.specification.version = 17".
func checkJava() error {
	out, err := exec.Command("java", "-XshowSettings:properties", "-version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("run java, which Kafka needs: %w", err)
	}
	_, after, _ := strings.Cut(string(out), "java.specification.version = ")
	field, _, _ := strings.Cut(after, "\n")
	major, err := strconv.Atoi(strings.TrimSpace(field))
	if err != nil || major < minJava {
		return fmt.Errorf("java is version %q, Kafka needs %d or later", strings.TrimSpace(field), minJava)
	}
	return nil
}

func serve(ctx context.Context, o *peer.Options) error {
	version, err := kafkaVersion()
	if err != nil {
		return err
	}
	cert, err := o.Certificate()
	if err != nil {
		return err
	}
	free, err := peer.FreePorts(3)
	if err != nil {
		return err
	}
	if *port != 0 {
		free[0] = *port
	}
	b := broker{dir: o.Dir, client: free[0], internal: free[1], controller: free[2], cert: cert}
	if err := b.configure(ctx); err != nil {
		return err
	}
	child, err := peer.StartChild(ctx, filepath.Join(o.Dir, "kafka.log"), b.java("-Xmx384m", "kafka.Kafka", b.file("server.properties"))...)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(peer.Loopback(b.internal)), kgo.DisableClientMetrics())
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	defer client.Close()
	if err := child.Await(ctx, time.Minute, func() error { return createTopics(ctx, client) }); err != nil {
		return err
	}
	ready := peer.Ready{Receiver: "kafka", Version: version, PID: child.PID, Address: peer.Loopback(b.client)}
	if cert != nil {
		ready.CA = cert.CA
	}
	if err := peer.Announce(ready); err != nil {
		return err
	}
	return <-child.Done
}

// createTopics succeeds once the broker answers and all topics are there.
func createTopics(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	admin := kadm.NewClient(client)
	if len(peer.List(*topics)) == 0 {
		_, err := admin.BrokerMetadata(ctx)
		return err
	}
	created, err := admin.CreateTopics(ctx, int32(*partitions), 1, nil, peer.List(*topics)...)
	if err != nil {
		return err
	}
	for _, t := range created {
		if t.Err != nil && !errors.Is(t.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", t.Topic, t.Err)
		}
	}
	return nil
}

// formatted says whether the storage belongs to an earlier start, whose records are to be kept.
func (b broker) formatted() (bool, error) {
	_, err := os.Stat(b.file("data/meta.properties"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
