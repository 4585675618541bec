package main

import (
	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/schema"
)

func newTopicsSchemaCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "schema [TOPIC]", Short: "Print what topics hold: an AsyncAPI document, or one topic's JSON Schema", Args: cobra.MaximumNArgs(1),
		Long: `Print the AsyncAPI 3 document of all topics, or the JSON Schema (2020-12) of one of them:
calls, control, rejections or checkpoints. It is what apply registers with Pulsar.`,
		Example:   "  deed topics schema > asyncapi.json\n  deed topics schema calls > calls.json",
		ValidArgs: schema.Topics(),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				env.printf("%s", schema.AsyncAPI())
				return nil
			}
			_, text, err := schema.OfTopic(args[0])
			if err != nil {
				return usage("%w", err)
			}
			env.printf("%s", text)
			return nil
		},
	}
}
