package config

import "os"

// environment fills in what a source takes from the variables of its platform.
func (c *Config) environment() {
	for i := range c.Sources {
		if e := c.Sources[i].Entra; e != nil {
			e.Graph = e.Graph.Environment(os.Getenv)
		}
	}
}
