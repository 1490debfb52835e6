package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/normalizer"
)

// version is stamped by the linker (-X main.version=..).
var version = ""

// Version is the release, or what the build knows of its commit.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "dev-" + s.Value[:12]
			}
		}
	}
	return "dev"
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and that of the mapping",
		Args:  noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "logferry %s (mapping %d, %s, %s/%s)\n", Version(), normalizer.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
