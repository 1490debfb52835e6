package main

import (
	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/normalizer"
)

func schemaCommand() *cobra.Command {
	var reference bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: "Schema prints the JSON Schema (draft 2020-12) of the configuration. Editors complete and check by it: write it beside the\n" +
			"configuration and begin that with the line\n\n" +
			"  # yaml-language-server: $schema=logferry.schema.json\n\n" +
			"What hangs on other files, on the environment or on several keys together only logferry check finds.\n" +
			"With --yaml it prints a configuration that has every key, with its default and a line on what it means.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			print := config.JSONSchema
			if reference {
				print = config.Reference
			}
			text, err := print(normalizer.AllChoices())
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&reference, "yaml", false, "print a configuration with every key, its default and its meaning instead")
	return cmd
}
