package main

import (
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
)

func newRunCommand(env *environment) *cobra.Command {
	var secrets []string
	c := &cobra.Command{
		Use:   "run --secret NAME=FILE -- COMMAND [ARGUMENT]...",
		Short: "Run a server that takes its secrets from the environment",
		Long: `Run a command with secrets from files in its environment. It is for upstreams that can take a
credential in no other way: the broker that starts them never has it, and a file can be replaced without
a change of the configuration. A file that others may read is refused.`,
		Example: "  deed run --secret GITHUB_TOKEN=/home/me/.config/deed/secrets/github -- npx -y @modelcontextprotocol/server-github",
		Args:    cobra.MinimumNArgs(1),
	}
	c.Flags().StringArrayVar(&secrets, "secret", nil, "put the content of FILE into the variable NAME: `NAME=FILE`; may be repeated")
	c.RunE = func(_ *cobra.Command, args []string) error {
		variables, err := secretVariables(secrets)
		if err != nil {
			return err
		}
		path, err := exec.LookPath(args[0])
		if err != nil {
			return withHint(err, "is it installed, and in the PATH that the broker has?")
		}
		return replaceProcess(env, path, args, append(os.Environ(), variables...))
	}
	return c
}

func secretVariables(secrets []string) ([]string, error) {
	var all []string
	for _, text := range secrets {
		name, path, ok := strings.Cut(text, "=")
		if !ok || name == "" || path == "" {
			return nil, usage("--secret %q is not NAME=FILE", name)
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if openToOthers(info) {
			return nil, withHint(usage("%s is readable by others (mode %04o)", path, info.Mode().Perm()), "chmod 600 it")
		}
		value, err := os.ReadFile(path) //nolint:gosec // the operator names it
		if err != nil {
			return nil, err
		}
		all = append(all, name+"="+strings.TrimRight(string(value), "\r\n"))
	}
	return all, nil
}
