package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/cmd/deed/demo"
)

func newDemoCommand(env *environment) *cobra.Command {
	var o demo.Options
	var logs bool
	c := &cobra.Command{
		Use: "demo", Short: "See it work, with nothing to set up", Args: cobra.NoArgs,
		Long: `Start a broker, an issuer at which anyone is anyone, sample tools (files in a
directory, a small ledger) and the console; and show an agent that is let through,
refused and held. Everything listens on this machine only.

What it leaves in its data directory is found again at the next start. With --json it
prints one line that says where everything is, shows nothing, and stays up.`,
		Example: "  deed demo\n  deed approve CALL --as bob\n  deed demo --json\n  deed demo --pulsar",
		RunE: func(cmd *cobra.Command, _ []string) error {
			usual, err := env.demoDir()
			if err != nil {
				return err
			}
			o.Command = invocation()
			if o.Data == "" {
				o.Data = usual
			} else if dir, err := filepath.Abs(o.Data); err == nil && dir != usual {
				o.Command = "DEED_DEMO=" + shellQuoted(dir) + " " + o.Command
			}
			o.JSON, o.Version, o.Out, o.Log = env.json, version(), env.stdout, io.Discard
			if logs {
				o.Log = env.stderr
			}
			err = demo.Run(cmd.Context(), o)
			switch {
			case errors.Is(err, audit.ErrLocked):
				return withHint(err, "stop the other one, or give this one another directory by --data")
			case errors.Is(err, syscall.EADDRINUSE):
				return withHint(err, "something else listens there: --listen and --issuer-listen take other addresses; port 0 is any free one")
			default:
				return err
			}
		},
	}
	c.Flags().StringVar(&o.Data, "data", "", "the demo's data `directory` (default $DEED_DEMO, else $XDG_DATA_HOME/deed/demo)")
	c.Flags().StringVar(&o.Listen, "listen", demo.DefaultListen, "`address` of the broker, on loopback")
	c.Flags().StringVar(&o.Issuer, "issuer-listen", demo.DefaultIssuer, "`address` of the demo issuer, on loopback")
	c.Flags().BoolVar(&o.Pulsar, "pulsar", false, "keep the log on an Apache Pulsar of the demo's own; needs Java 17 and Maven, which fetches it the first time")
	c.Flags().BoolVar(&logs, "logs", false, "print the broker's log lines to standard error")
	return c
}

// invocation is how whoever started the demo starts other verbs.
func invocation() string {
	if path, err := os.Executable(); err == nil && strings.Contains(path, "go-build") {
		return "go run ./cmd/deed"
	}
	return "deed"
}

// shellQuoted is a word as a POSIX shell takes it, without quotes where it needs none.
func shellQuoted(word string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if strings.TrimLeftFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
