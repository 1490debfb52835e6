package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
)

// addresses is where the receivers listen.
type addresses struct {
	HTTP   string // both collector and _bulk
	Syslog string
	Kafka  string
}

const topic = "events"

// receive serves until standard input ends. The receivers answer as the real ones do and keep nothing, but for Kafka.
func receive(ctx context.Context) error {
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic), kfake.ListenFn(listen))
	if err != nil {
		return fmt.Errorf("start kfake: %w", err)
	}
	defer brokers.Close()
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		defer listeners[i].Close()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/services/collector/event", collect)
	mux.HandleFunc("/ingest", collect)
	mux.HandleFunc("/_bulk", bulk)
	mux.HandleFunc("/{index}/_bulk", bulk)
	mux.HandleFunc("/received", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, received.Load()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		io.WriteString(w, `{"version":{"number":"9.0.0","build_flavor":"default"},"tagline":"You Know, for Search"}`)
	})
	go http.Serve(listeners[0], mux)
	go drain(listeners[1])
	to := addresses{"http://" + listeners[0].Addr().String(), listeners[1].Addr().String(), brokers.ListenAddrs()[0]}
	if err := json.NewEncoder(os.Stdout).Encode(to); err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		os.Stdin.Close()
	}()
	io.Copy(io.Discard, os.Stdin)
	return nil
}

// received counts the bytes of all connections.
var received atomic.Int64

type counted struct{ net.Listener }

func listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return counted{l}, err
}

func (l counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return countedConn{conn}, err
}

type countedConn struct{ net.Conn }

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	received.Add(int64(n))
	return n, err
}

// collect is HEC.
func collect(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	io.WriteString(w, `{"text":"Success","code":0}`)
}

// bulk answers each create action with its own id.
func bulk(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	brief := strings.Contains(r.URL.RawQuery, "filter_path")
	var reply bytes.Buffer
	reply.WriteString(`{"took":30,"errors":false,"items":[`)
	lines := bufio.NewReaderSize(body, 64<<10)
	for n := 0; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			} `json:"create"`
		}
		if err == nil {
			err = json.Unmarshal(line, &action)
		}
		if err == nil {
			_, err = lines.ReadBytes('\n')
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if n > 0 {
			reply.WriteByte(',')
		}
		if c := action.Create; brief {
			fmt.Fprintf(&reply, `{"create":{"_id":"%s","status":201}}`, c.ID)
		} else {
			fmt.Fprintf(&reply, `{"create":{"_index":"%s","_id":"%s","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":%d,"_primary_term":1,"status":201}}`,
				c.Index, c.ID, n)
		}
	}
	reply.WriteString(`]}`)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Write(reply.Bytes())
}

// drain reads what syslog senders write.
func drain(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			io.Copy(io.Discard, conn)
		}()
	}
}
