package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

//go:embed server.properties.tmpl
var properties string

// log4j2 writes warnings to stdout, which StartChild sends to kafka.log.
//
//go:embed log4j2.properties
var log4j2 []byte

// broker is one Kafka process: its folder, its ports on 127.0.0.1 and, with TLS, its certificate.
type broker struct {
	dir                          string
	client, internal, controller int
	cert                         *peer.Certificate
}

func (b broker) file(name string) string { return filepath.Join(b.dir, name) }

func (b broker) java(heap, class string, args ...string) []string {
	argv := []string{
		"java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // starts fast; throughput is not what is tested
		"-Dlog4j2.configurationFile=" + b.file("log4j2.properties"),
		"-cp", filepath.Join(*jars, "*"), class,
	}
	return append(argv, args...)
}

// configure writes the settings and, on the first start, formats the storage.
func (b broker) configure(ctx context.Context) error {
	user, password, _ := strings.Cut(*sasl, ":")
	if *sasl != "" && (user == "" || password == "" || strings.ContainsAny(*sasl, `"\,[]=;`)) {
		return fmt.Errorf(`parse -sasl: want user:password without any of " \ , [ ] = ;`)
	}
	protocol := map[bool]string{false: "PLAINTEXT", true: "SSL"}[b.cert != nil]
	if *sasl != "" {
		protocol = "SASL_" + protocol
	}
	var buf bytes.Buffer
	err := template.Must(template.New("properties").Parse(properties)).Execute(&buf, map[string]any{
		"Client": peer.Loopback(b.client), "Internal": peer.Loopback(b.internal), "Controller": peer.Loopback(b.controller),
		"Protocol": protocol, "Cert": b.cert, "User": user, "Password": password,
		"Data": b.file("data"), "Keystore": b.file("keystore.pem"), "Partitions": *partitions,
		"Extra": strings.Split(*config, ";"),
	})
	if err != nil {
		return fmt.Errorf("write server.properties: %w", err)
	}
	if err := os.WriteFile(b.file("server.properties"), buf.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write server.properties: %w", err)
	}
	if err := os.WriteFile(b.file("log4j2.properties"), log4j2, 0o644); err != nil {
		return fmt.Errorf("write log4j2.properties: %w", err)
	}
	if b.cert != nil {
		if err := b.writeKeystore(); err != nil {
			return err
		}
	}
	return b.format(ctx, user, password)
}

// writeKeystore joins key and certificate: Kafka wants both in one file.
func (b broker) writeKeystore() error {
	key, err := os.ReadFile(b.cert.Key)
	if err != nil {
		return fmt.Errorf("read server key: %w", err)
	}
	cert, err := os.ReadFile(b.cert.Cert)
	if err != nil {
		return fmt.Errorf("read server certificate: %w", err)
	}
	if err := os.WriteFile(b.file("keystore.pem"), append(key, cert...), 0o600); err != nil {
		return fmt.Errorf("write keystore: %w", err)
	}
	return nil
}

func (b broker) format(ctx context.Context, user, password string) error {
	done, err := b.formatted()
	if err != nil || done {
		return err
	}
	args := []string{"format", "--standalone", "-t", clusterID, "-c", b.file("server.properties")}
	if user != "" {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, password))
		}
	}
	argv := b.java("-Xmx128m", "kafka.tools.StorageTool", args...)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("format storage: %w\n%s", err, out)
	}
	return nil
}
