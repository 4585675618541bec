package main

import (
	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/client/bridge"
)

func newStdioCommand(env *environment) *cobra.Command {
	var agents []string
	var upstream string
	c := &cobra.Command{
		Use:   "stdio",
		Short: "Bridge a copilot that only speaks stdio to the broker",
		Long: `Speak MCP over stdin and stdout, and forward every message, as it is, to the broker's
Streamable HTTP endpoint with the token. Answers and notifications come back the same
way. Nothing else is written to stdout; what goes wrong is said on stderr.`,
		Example: `  {"mcpServers": {"deed": {"command": "deed", "args": ["stdio"], "env": {"DEED_URL": "https://deed.acme.example"}}}}

  deed stdio --as alice --agent copilot`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringArrayVar(&agents, "agent", nil, "an `agent` of the demo that acts for --as; may be repeated")
	c.Flags().StringVar(&upstream, "upstream", "", "only the tools of this `upstream`, by their own names")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		base, err := env.brokerURL()
		if err != nil {
			return err
		}
		token, err := env.tokenSource(agents...)
		if err != nil {
			return err
		}
		endpoint := base + "/mcp"
		if upstream != "" {
			endpoint += "/" + upstream
		}
		b, err := bridge.New(bridge.Config{Endpoint: endpoint, Token: token, Report: func(problem string) { env.say("deed: %s\n", plain(problem)) }})
		if err != nil {
			return usage("%w", err)
		}
		return b.Run(cmd.Context(), env.stdin, env.stdout)
	}
	return c
}
