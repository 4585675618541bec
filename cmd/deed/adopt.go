package main

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/cmd/deed/adopt"
)

// adoptFlags are what `deed adopt` is told.
type adoptFlags struct {
	clients           []string
	files             []string
	dir, issuer       string
	project           string
	yes, dryRun, undo bool
}

func newAdoptCommand(env *environment) *cobra.Command {
	var f adoptFlags
	c := &cobra.Command{
		Use:   "adopt",
		Short: "Put the broker before the MCP servers of your copilots, or take it away",
		Long: `Read the MCP servers that copilots on this machine have configured (` + strings.Join(adopt.Clients(), ", ") + `),
write a deed.yaml with them as upstreams and a policy to start from, and put deed stdio in each server's
place. Secrets move into files of their own (0600). What changes is shown first, and done once you agree;
--undo puts every file back as it was.

Without --issuer, people and agents are those of the demo issuer, which takes anyone on this machine for
anyone: start the broker by deed serve --demo-issuer, and decide as bob. With it, sign in by deed login.`,
		Example: `  deed adopt --dry-run
  deed adopt && deed serve --demo-issuer -c ~/.config/deed/deed.yaml
  deed adopt --client cursor --client vscode --issuer https://idp.acme.example/realms/acme
  deed adopt --undo`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.clients, "client", nil, "adopt from this `client` only; may be repeated")
	flags.StringArrayVar(&f.files, "file", nil, "read this `CLIENT=PATH` in place of the usual ones; may be repeated")
	flags.StringVar(&f.dir, "dir", "", "where deed.yaml goes (default $XDG_CONFIG_HOME/deed)")
	flags.StringVar(&f.project, "project", ".", "a `directory` whose own files are read, too; empty for none")
	flags.StringVar(&f.issuer, "issuer", "", "your identity provider's `URL`")
	flags.BoolVar(&f.yes, "yes", false, "do it without asking")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be done, and do nothing")
	flags.BoolVar(&f.undo, "undo", false, "put the clients' files back")
	c.RunE = func(*cobra.Command, []string) error { return env.adopt(f) }
	return c
}

func (e *environment) adopt(f adoptFlags) error {
	m, err := e.machine(f.project)
	if err != nil {
		return err
	}
	if f.dir == "" {
		f.dir = filepath.Join(firstOf(m.Config, filepath.Join(m.Home, ".config")), "deed")
	}
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return err
	}
	if f.undo {
		return e.undoAdoption(f.dir)
	}
	plan, err := e.adoptionPlan(f, m)
	if err != nil {
		return err
	}
	if err := e.showAdoption(plan, f); err != nil || f.dryRun || len(plan.Upstreams) == 0 {
		return err
	}
	if !f.yes && !e.agrees("Do this? [y/N] ") {
		return &exit{code: exitRefused, err: errors.New("nothing was changed"), hint: "--yes does it without asking"}
	}
	if err := plan.Apply(); err != nil {
		if errors.Is(err, adopt.ErrExists) {
			return withHint(err, "name another place by --dir, or move "+filepath.Join(f.dir, "deed.yaml")+" away")
		}
		return err
	}
	start := "deed serve -c " + filepath.Join(f.dir, "deed.yaml")
	if f.issuer == "" {
		start += " --demo-issuer"
	}
	e.say("Done. Start the broker and restart your copilots:\n\n  %s\n\nTo go back: deed adopt --undo\n", start)
	return nil
}

// machine is this one.
func (e *environment) machine(project string) (adopt.Machine, error) {
	home := firstOf(e.getenv("HOME"), e.getenv("USERPROFILE"))
	if !filepath.IsAbs(home) {
		return adopt.Machine{}, withHint(errors.New("there is no home directory to look in"), "set HOME")
	}
	m := adopt.Machine{OS: runtime.GOOS, Home: home, AppData: e.getenv("APPDATA")}
	if config := e.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(config) {
		m.Config = config
	}
	if project != "" {
		dir, err := filepath.Abs(project)
		if err != nil {
			return m, err
		}
		m.Project = dir
	}
	return m, nil
}

func (e *environment) adoptionPlan(f adoptFlags, m adopt.Machine) (*adopt.Plan, error) {
	files, err := adopt.Find(m, f.clients)
	if err != nil {
		return nil, usage("%w", err)
	}
	if len(f.files) > 0 {
		if files, err = namedFiles(f.files); err != nil {
			return nil, err
		}
	}
	url, err := e.brokerURL()
	if err != nil {
		return nil, err
	}
	data, err := e.dataDir()
	if err != nil {
		return nil, err
	}
	deed, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o := adopt.Options{Files: files, Dir: f.dir, Data: filepath.Join(data, "desktop"), Deed: deed, URL: url, Issuer: f.issuer}
	if f.issuer == "" {
		o.Issuer, o.Demo, o.Args = demo.DefaultURL, true, []string{"--as", "alice", "--agent", demo.Copilot}
	}
	if dir := e.getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) { // where the session, or the demo, is
		o.Env = map[string]string{"XDG_DATA_HOME": dir}
	}
	return adopt.NewPlan(o)
}

func namedFiles(named []string) ([]adopt.File, error) {
	var files []adopt.File
	for _, text := range named {
		client, path, ok := strings.Cut(text, "=")
		if _, err := adopt.Find(adopt.Machine{}, []string{client}); err != nil || !ok {
			return nil, usage("--file %q is not CLIENT=PATH; clients are %s", text, strings.Join(adopt.Clients(), ", "))
		}
		files = append(files, adopt.File{Client: client, Path: path})
	}
	return files, nil
}

func (e *environment) showAdoption(plan *adopt.Plan, f adoptFlags) error {
	if e.json {
		return e.printJSON(plan)
	}
	for _, u := range plan.Upstreams {
		e.printf("%s (of %s): %s\n", plain(u.Name), strings.Join(u.Clients, ", "), plain(firstOf(u.URL, strings.Join(u.Command, " "))))
		if len(u.Secrets) > 0 {
			e.printf("  moved into files: %s\n", plain(strings.Join(u.Secrets, ", ")))
		}
		if len(u.Exposed) > 0 {
			e.printf("  looks like a secret, and will stand in deed.yaml: %s\n", plain(strings.Join(u.Exposed, ", ")))
		}
	}
	for _, l := range plan.Left {
		e.printf("%s of %s stays as it is: %s\n", plain(l.Server), l.Client, plain(l.Reason))
	}
	if len(plan.Upstreams) == 0 {
		e.printf("There is no MCP server to adopt.\n")
		return nil
	}
	for _, c := range plan.Changes {
		e.printf("\n%s", multiline(c.Diff))
	}
	e.printf("\nFiles to be written:\n")
	for _, path := range plan.Writes {
		e.printf("  %s\n", plain(path))
	}
	if f.dryRun {
		e.printf("Nothing was changed.\n")
	}
	return nil
}

// agrees asks a person.
func (e *environment) agrees(question string) bool {
	if !e.interactive {
		return false
	}
	e.say("%s", question)
	answer, err := bufio.NewReader(e.stdin).ReadString('\n')
	return err == nil && strings.EqualFold(strings.TrimSpace(answer), "y")
}

func (e *environment) undoAdoption(dir string) error {
	undone, err := adopt.Undo(dir)
	if e.json {
		if undone == nil {
			undone = []adopt.Undone{}
		}
		return errors.Join(err, e.printJSON(undone))
	}
	for _, u := range undone {
		what := "is as it was"
		if !u.Exact {
			what = "was changed since: its servers are as they were, the rest stays"
		}
		e.printf("%s %s\n", plain(u.Path), what)
	}
	return err
}
