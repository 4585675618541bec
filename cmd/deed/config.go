package main

import (
	"errors"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/readers"
)

// defaultConfig is the file that verbs read when nobody names another.
const defaultConfig = "deed.yaml"

// configFlag adds -c to a command.
func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", defaultConfig, "the configuration `file`")
}

// loadConfig reads deed.yaml. What is wrong with it is a usage error.
func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, withHint(usage("%w", err), "name the file by -c; `deed demo` needs none")
	case err != nil:
		return nil, usage("%w", err)
	}
	return cfg, nil
}

func newConfigCommand(env *environment) *cobra.Command {
	return family("config", "Check and show deed.yaml", "", newConfigCheckCommand(env), newConfigPrintCommand(env), newConfigSchemaCommand(env))
}

func newConfigCheckCommand(env *environment) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check deed.yaml without starting anything",
		Long: `Check the configuration and the policies that it names, and report all that is wrong, with
lines. Where the readers of a domain and the policies on reading it differ there is a
warning. Nothing is started, contacted or written.`,
		Example: `  deed config check -c deed.yaml`,
		Args:    cobra.NoArgs,
	}
	configFlag(c, &path)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(path)
		if err != nil {
			return env.problems(err)
		}
		checked, err := checkPolicies(cmd.Context(), cfg, nil)
		if err != nil {
			return env.problems(err)
		}
		disagreements := []readers.Disagreement{}
		if checked.set != nil {
			disagreements = append(disagreements, readers.InDeed(cfg, checked.set, time.Now())...)
		}
		if env.json {
			report := configReport{OK: checked.err() == nil, Problems: []configProblem{}, Policies: checked.report(), Readers: disagreements}
			if err := env.printJSON(report); err != nil {
				return err
			}
			return env.ended(checked.code())
		}
		env.printFindings(checked)
		if err := checked.err(); err != nil {
			return err
		}
		for _, d := range disagreements {
			env.say("warning: domain %s\n", plain(d.String()))
		}
		env.printf("%s is valid: %d upstreams, %d issuers, %d policies\n", plain(path), len(cfg.Upstreams), len(cfg.Issuers), checked.policies())
		return nil
	}
	return c
}

// configReport is what `deed config check --json` prints.
type configReport struct {
	OK       bool            `json:"ok"`
	Problems []configProblem `json:"problems"`
	Policies *policyReport   `json:"policies,omitempty"`
	// Readers are the domains whose readers and policies say different things.
	Readers []readers.Disagreement `json:"readers"`
}

type configProblem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

// problems prints what is wrong with a configuration for programs, if they asked.
func (e *environment) problems(err error) error {
	if !e.json {
		return err
	}
	report := configReport{Problems: []configProblem{}, Readers: []readers.Disagreement{}}
	if all, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range all {
			report.Problems = append(report.Problems, configProblem{p.File, p.Line, p.Column, p.Key, p.Message})
		}
	} else {
		report.Problems = append(report.Problems, configProblem{Message: err.Error()})
	}
	if err := e.printJSON(report); err != nil {
		return err
	}
	return silent(codeOf(err))
}

func newConfigPrintCommand(env *environment) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:     "print",
		Short:   "Print the configuration in force, defaults included",
		Long:    `Print the configuration as YAML with every default filled in. Secrets are redacted.`,
		Example: `  DEED_LISTEN=127.0.0.1:9000 deed config print`,
		Args:    cobra.NoArgs,
	}
	configFlag(c, &path)
	c.RunE = func(*cobra.Command, []string) error {
		cfg, err := loadConfig(path)
		if err != nil {
			return err
		}
		return cfg.Print(env.stdout)
	}
	return c
}

func newConfigSchemaCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of deed.yaml, for editors",
		Example: `  deed config schema > deed.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			env.printf("%s\n", config.Schema())
			return nil
		},
	}
}
