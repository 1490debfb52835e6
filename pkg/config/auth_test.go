package config

import (
	"os"
	"strings"
	"testing"
)

// TestAuthPageIsRight: each block of docs/auth.md is a configuration that is taken, in a pod and, but for the pod's own way, elsewhere.
func TestAuthPageIsRight(t *testing.T) {
	page, err := os.ReadFile("../../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) < 7 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, pod := range []bool{true, false} {
		for name, value := range map[string]string{"AZURE_TENANT_ID": "contoso.onmicrosoft.com", "AZURE_CLIENT_ID": "an-app", "AZURE_FEDERATED_TOKEN_FILE": "/token",
			"AZURE_AUTHORITY_HOST": "https://login.microsoftonline.us/"} {
			if !pod {
				value = ""
			}
			t.Setenv(name, value)
		}
		for _, block := range blocks {
			block, _, _ = strings.Cut(block, "```")
			workload := strings.HasPrefix(block, "entra:\n")
			if !workload {
				block = "entra:\n  tenant: contoso.onmicrosoft.com\n  " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n  ")
			}
			text := "state: {dir: ./state}\nsources:\n  - name: contoso\n    " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\nsinks:\n  - {name: out, schema: raw, stdout: {}}\n"
			cfg, err := Parse("auth.md", []byte(text), schemas(t))
			if (err == nil) != (pod || !workload) {
				t.Errorf("in a pod %v: %v\n%s", pod, err, text)
			}
			if err == nil && workload && (cfg.Sources[0].Entra.Graph.Cloud != "usgov" || cfg.Sources[0].Entra.Graph.Tenant == "") {
				t.Errorf("the pod's variables are not used: %+v", cfg.Sources[0].Entra.Graph)
			}
		}
	}
}
