package config

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// agreement is testdata/agreement.yaml.
type agreement struct {
	Base  string `yaml:"base"`
	Cases []struct {
		Name string `yaml:"name"`
		From string `yaml:"from"`
		To   string `yaml:"to"`
		Is   string `yaml:"is"`
		Why  string `yaml:"why"`
	} `yaml:"cases"`
}

// TestAgreement is the loader's half of the proof that the JSON Schema refuses nothing that the loader takes. The schema's half is in
// test/peers/schema.
func TestAgreement(t *testing.T) {
	t.Setenv("LOGFERRY_TEST_POLL", "2m")
	noPod(t)
	text, err := os.ReadFile("testdata/agreement.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var a agreement
	if err := yaml.UnmarshalWithOptions(text, &a, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	seen, counts := []string{}, map[string]int{}
	for _, c := range a.Cases {
		t.Run(c.Name, func(t *testing.T) {
			doc := strings.Replace(a.Base, c.From, c.To, 1)
			if doc == a.Base || slices.Contains(seen, doc) || (c.Is == "loader") != (c.Why != "") {
				t.Fatal("the case changes nothing, stands here twice, or lacks its reason")
			}
			seen, counts[c.Is] = append(seen, doc), counts[c.Is]+1
			_, err := Parse("x.yaml", []byte(doc), schemas(t))
			var invalid *Invalid
			if err != nil && !errors.As(err, &invalid) {
				t.Fatal(err)
			}
			if want := map[string]bool{"taken": true, "refused": false, "loader": false}[c.Is]; (err == nil) != want {
				t.Errorf("is %s, and the loader says: %v\n%s", c.Is, err, doc)
			}
		})
	}
	if counts["taken"] < 30 || counts["refused"] < 60 || counts["loader"] > 25 {
		t.Errorf("few cases, or many that the schema cannot judge: %v", counts)
	}
	t.Logf("agreement: %v", counts)
}

// noPod takes away what the environment of a pod would add.
func noPod(t *testing.T) {
	for _, name := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"} {
		t.Setenv(name, "")
	}
}
