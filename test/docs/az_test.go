package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// The test binary stands in for Azure's command line too, under the name of az: there is no tenant here that it could change. It
// knows the commands and flags of the reference (https://learn.microsoft.com/cli/azure/reference-index) that the documents use, refuses
// everything else as az does, and answers with made-up ids.

// azCommands has the flags that each command takes, those that it cannot do without first.
var azCommands = map[string]struct {
	must, may []string
	answer    string // of --query ... --output tsv
}{
	"login":                              {nil, []string{"--tenant", "--allow-no-subscriptions"}, ""},
	"ad app create":                      {[]string{"--display-name"}, []string{"--sign-in-audience"}, simulator.DefaultClientID},
	"ad app update":                      {[]string{"--id"}, []string{"--is-fallback-public-client"}, ""},
	"ad app credential reset":            {[]string{"--id"}, []string{"--append", "--cert", "--display-name", "--years"}, simulator.DefaultClientSecret},
	"ad app federated-credential create": {[]string{"--id", "--parameters"}, nil, ""},
	"ad app permission grant":            {[]string{"--id", "--api", "--scope"}, nil, ""},
	"ad sp create":                       {[]string{"--id"}, nil, azObject},
	"ad sp show":                         {[]string{"--id"}, nil, azObject},
	"ad user show":                       {[]string{"--id"}, nil, azObject},
	"vm identity assign":                 {[]string{"--resource-group", "--name"}, []string{"--identities"}, azObject},
	"aks show":                           {[]string{"--resource-group", "--name"}, nil, "https://oidc.example.com/"},
	"rest":                               {[]string{"--method", "--url"}, []string{"--headers", "--body"}, azObject},
}

const (
	azObject = "11111111-2222-3333-4444-555555555555"
	azGraph  = "00000003-0000-0000-c000-000000000000" // Microsoft Graph's application id, the same in every tenant
)

// az answers one call and gives the exit code.
func az(args []string) int {
	answer, err := azAnswer(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "az %s: %v\n", strings.Join(args, " "), err)
		return 2
	}
	if answer != "" {
		fmt.Println(answer)
	}
	return 0
}

func azAnswer(args []string) (string, error) {
	end := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if end < 0 {
		end = len(args)
	}
	name := strings.Join(args[:end], " ")
	command, ok := azCommands[name]
	if !ok {
		return "", fmt.Errorf("there is no command %q", name)
	}
	flags, err := azFlags(args[end:], append(slices.Concat(command.must, command.may), "--query", "--output"))
	if err != nil {
		return "", err
	}
	for _, flag := range command.must {
		if flags[flag] == "" {
			return "", fmt.Errorf("%s is required", flag)
		}
	}
	if err := azCheck(name, flags); err != nil {
		return "", err
	}
	if flags["--output"] != "tsv" {
		return "", nil
	}
	if permission, ok := strings.CutPrefix(flags["--query"], "appRoles[?value=='"); ok {
		permission, _, _ = strings.Cut(permission, "'")
		return azRole(permission), nil
	}
	return command.answer, nil
}

func azFlags(args, known []string) (map[string]string, error) {
	flags := map[string]string{}
	for i := 0; i < len(args); i++ {
		flag := args[i]
		switch {
		case !slices.Contains(known, flag):
			return nil, fmt.Errorf("unrecognized argument %s", flag)
		case flag == "--append" || flag == "--allow-no-subscriptions":
			flags[flag] = "true"
		case i+1 == len(args):
			return nil, fmt.Errorf("%s: expected a value", flag)
		default:
			i++
			flags[flag] = args[i]
		}
	}
	return flags, nil
}

// azRole is the id of a permission that some stream needs; as from az, nothing for any other.
func azRole(permission string) string {
	for i, s := range entra.Table() {
		if slices.Contains(strings.Split(s.Permission, " and "), permission) {
			return fmt.Sprintf("22222222-0000-0000-0000-%012d", i)
		}
	}
	return ""
}

// azCheck looks at what the service would look at.
func azCheck(name string, flags map[string]string) error {
	switch name {
	case "ad app credential reset":
		if file, ok := strings.CutPrefix(flags["--cert"], "@"); ok {
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), "BEGIN CERTIFICATE") || strings.Contains(string(text), "PRIVATE KEY") {
				return fmt.Errorf("--cert %s has to be a certificate without its key: %v", file, err)
			}
		}
	case "ad app federated-credential create":
		text, err := os.ReadFile(flags["--parameters"])
		if err != nil {
			return err
		}
		return azBody(text, "name", "issuer", "subject", "audiences")
	case "rest":
		if !strings.HasPrefix(flags["--url"], "https://graph.microsoft.com/v1.0/") {
			return errors.New("--url is not one of Microsoft Graph")
		}
		if flags["--method"] == "GET" {
			return nil
		}
		if strings.HasSuffix(flags["--url"], "/"+azObject+"/appRoleAssignments") {
			return azBody([]byte(flags["--body"]), "principalId", "resourceId", "appRoleId")
		}
		if strings.HasSuffix(flags["--url"], "/roleManagement/directory/roleAssignments") {
			return azBody([]byte(flags["--body"]), "principalId", "roleDefinitionId", "directoryScopeId")
		}
		return errors.New("nothing is known of this --url")
	}
	return nil
}

// azBody wants the members, with something in them, and no others.
func azBody(text []byte, members ...string) error {
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	for _, m := range members {
		if s, isText := body[m].(string); body[m] == nil || isText && s == "" {
			return fmt.Errorf("%s has no %s", text, m)
		}
	}
	if len(body) != len(members) {
		return fmt.Errorf("%s has members beside %v", text, members)
	}
	return nil
}
