//go:build unix

package app_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// The API and the receivers of the benchmarks run in a process of their own: this test binary again, as a helper. So the CPU
// and the memory of the process that measures are those of the pipeline alone, and what the others cost can be told beside it.

// peersEnv holds the simulated records for the helper process, as JSON of simulator.Generate.
const peersEnv = "LOGFERRY_TEST_PEERS"

// peers is where the helper's servers are.
type peers struct {
	Graph, HEC, Kafka, Syslog string
	usage                     string
}

// usage is what the helper has used and served so far.
type usage struct {
	CPU   time.Duration
	Rows  int
	Bytes int64
}

// startPeers starts the helper; it ends with the test.
func startPeers(tb testing.TB, g simulator.Generate) *peers {
	tb.Helper()
	text, err := json.Marshal(g)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPeersProcess$", "-test.count=1")
	cmd.Env, cmd.Stderr = append(os.Environ(), peersEnv+"="+string(text)), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var p struct {
		peers
		Usage string
	}
	if err == nil {
		err = json.Unmarshal(line, &p)
	}
	if err != nil {
		tb.Fatalf("the peers do not start: %v: %q", err, line)
	}
	p.usage = p.Usage
	return &p.peers
}

func (p *peers) used(tb testing.TB) (u usage) {
	tb.Helper()
	resp, err := http.Get(p.usage)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&u); err != nil {
		tb.Fatal(err)
	}
	return u
}

// discardHEC accepts every request of a HEC client and keeps nothing.
func discardHEC(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	io.WriteString(w, `{"text":"Success","code":0}`)
}

// TestPeersProcess is the helper's main; without its variable it has nothing to do.
func TestPeersProcess(t *testing.T) {
	text := os.Getenv(peersEnv)
	if text == "" {
		return
	}
	var g simulator.Generate
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		t.Fatal(err)
	}
	graph, err := simulator.New(simulator.Options{Seed: 7, Generate: []simulator.Generate{g}, TokenLife: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	api, err := graph.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	hec := httptest.NewServer(http.HandlerFunc(discardHEC))
	defer hec.Close()
	used := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stats := graph.Stats()
		json.NewEncoder(w).Encode(usage{processor(), stats.Rows, stats.Bytes})
	}))
	defer used.Close()
	syslog := accepting(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	kafka := accepting(t, serveKafka)
	line, err := json.Marshal(map[string]string{
		"Graph": api.URL, "HEC": hec.URL, "Kafka": kafka, "Syslog": syslog, "Usage": used.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(line))
	io.Copy(io.Discard, os.Stdin) // until the parent ends
}

// accepting serves every connection to a free port with f.
func accepting(t *testing.T, f func(net.Conn)) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

// serveKafka is a broker of one topic partition that takes everything and keeps nothing.
func serveKafka(conn net.Conn) {
	r := bufio.NewReader(conn)
	at := conn.LocalAddr().(*net.TCPAddr)
	for {
		if head, err := r.Peek(6); err == nil && head[4] == 0 && head[5] == byte(protocol.Produce) {
			if discardProduce(r, conn) != nil {
				return
			}
			continue
		}
		version, id, _, request, err := protocol.ReadRequest(r)
		if err != nil {
			return
		}
		var reply protocol.Message
		switch request := request.(type) {
		case *apiversions.Request:
			reply = &apiversions.Response{ApiKeys: []apiversions.ApiKeyResponse{
				{ApiKey: int16(protocol.Produce), MaxVersion: 8}, {ApiKey: int16(protocol.Metadata), MaxVersion: 8}, {ApiKey: int16(protocol.ApiVersions), MaxVersion: 2},
			}}
		case *metadata.Request:
			m := &metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: at.IP.String(), Port: int32(at.Port)}}}
			for _, name := range request.TopicNames {
				m.Topics = append(m.Topics, metadata.ResponseTopic{Name: name, Partitions: []metadata.ResponsePartition{{LeaderID: 1}}})
			}
			reply = m
		default:
			return
		}
		if protocol.WriteResponse(conn, version, id, reply) != nil {
			return
		}
	}
}

// discardProduce answers a Produce request of version 8 for one partition without decoding its records.
func discardProduce(r *bufio.Reader, conn net.Conn) error {
	head, err := r.Peek(128)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	client := int(be.Uint16(head[12:]))
	topic := head[14+client+2+2+4+4:] // behind the transactional id, acks, timeout, number of topics
	name := string(topic[2 : 2+be.Uint16(topic)])
	partition := int32(be.Uint32(topic[2+len(name)+4:]))
	id, size := int32(be.Uint32(head[8:])), int(be.Uint32(head))
	if _, err := r.Discard(4 + size); err != nil {
		return err
	}
	return protocol.WriteResponse(conn, 8, id, &produce.Response{Topics: []produce.ResponseTopic{
		{Topic: name, Partitions: []produce.ResponsePartition{{Partition: partition}}},
	}})
}

// processor is user and system time of this process.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
