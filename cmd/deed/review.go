package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/httpapi"
)

func newReviewCommand(env *environment) *cobra.Command {
	var approve bool
	c := &cobra.Command{
		Use:   "review UPSTREAM.TOOL [--approve]",
		Short: "Show what changed in a tool's definition, and trust it",
		Long: `Show a tool's definition beside the one that was trusted so far. A tool whose name, description,
schema or annotations have changed since is in quarantine, and cannot be called, until somebody
whom policy permits to review it approves the definition as it is now.`,
		Example: `  deed tools review filesystem.write_file --as bob
  deed tools review filesystem.write_file --approve --as bob`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&approve, "approve", false, "trust the definition that is shown")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		d, err := a.Definition(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		shown := d
		if approve {
			if d, err = a.ApproveDefinition(cmd.Context(), args[0], d.Digest); err != nil {
				return err
			}
		}
		if env.json {
			return env.printJSON(d)
		}
		env.printDefinition(shown)
		if approve {
			env.printf("approved: %s is what is trusted from here on\n", plain(d.Digest))
		}
		return nil
	}
	return c
}

// printDefinition shows a definition line by line, with what is not in the trusted one
// marked by a plus sign and what is only there by a minus sign.
func (e *environment) printDefinition(d httpapi.Definition) {
	switch {
	case d.Finding != "":
		e.printf("%s is in quarantine: %s\n", plain(d.Tool), plain(d.Finding))
	case d.Previous == d.Digest:
		e.printf("%s is as it was reviewed\n", plain(d.Tool))
	}
	before, now := indented(d.Reviewed), indented(d.Definition)
	for _, line := range before {
		if !contains(now, line) {
			e.printf("- %s\n", plain(line))
		}
	}
	for _, line := range now {
		mark := " "
		if !contains(before, line) {
			mark = "+"
		}
		e.printf("%s %s\n", mark, plain(line))
	}
}

func indented(definition []byte) []string {
	var b bytes.Buffer
	if len(definition) == 0 || json.Indent(&b, definition, "", "  ") != nil {
		return nil
	}
	return strings.Split(b.String(), "\n")
}

func contains(lines []string, line string) bool {
	line = strings.TrimSuffix(line, ",")
	for _, l := range lines {
		if strings.TrimSuffix(l, ",") == line {
			return true
		}
	}
	return false
}
