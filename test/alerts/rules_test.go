package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

const rulesPath = "../../deploy/helm/logferry/files/alerts.yaml"

// rule is one alert of the file.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type rules struct {
	path     string // absolute
	all      []rule
	families map[string]bool // the metrics that they look at
}

func (r *rules) find(alert string) *rule {
	for i := range r.all {
		if r.all[i].Alert == alert {
			return &r.all[i]
		}
	}
	return nil
}

var metricName = regexp.MustCompile(`\blogferry_\w+`)

var rulesFile = sync.OnceValue(func() *rules {
	text, err := os.ReadFile(rulesPath)
	if err != nil {
		panic(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		panic(err)
	}
	r := &rules{families: map[string]bool{}}
	if r.path, err = filepath.Abs(rulesPath); err != nil {
		panic(err)
	}
	for _, g := range file.Groups {
		r.all = append(r.all, g.Rules...)
	}
	for _, one := range r.all {
		for _, name := range metricName.FindAllString(one.Expr, -1) {
			r.families[strings.TrimSpace(name)] = true
		}
	}
	return r
})
