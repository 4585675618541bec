package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/policy"
)

func newPolicyCommand(env *environment) *cobra.Command {
	return family("policy", "Check, test and try policies on what happened", "", newPolicyCheckCommand(env), newPolicyTestCommand(env),
		newPolicyReplayCommand(env), newPolicyShadowCommand(env), newPolicySuggestCommand(env), newPolicyAccessCommand(env))
}

const policyLong = `The policies are those of deed.yaml, or the files named by --policies. They are checked
against the tools as the broker saw them last, which its log remembers; about tools
that it has never seen there are warnings only.`

func newPolicyCheckCommand(env *environment) *cobra.Command {
	var path string
	var globs []string
	c := &cobra.Command{
		Use:   "check",
		Short: "Type-check policies against the tools",
		Long:  "Type-check policies.\n\n" + policyLong,
		Example: `  deed policy check -c deed.yaml
  deed policy check --policies 'policy/*.cedar'`,
		Args: cobra.NoArgs,
	}
	policyFlags(c, &path, &globs)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		checked, err := loadPolicies(cmd.Context(), path, globs)
		if err != nil {
			return err
		}
		if env.json {
			if err := env.printJSON(checked.report()); err != nil {
				return err
			}
			return env.ended(checked.code())
		}
		env.printFindings(checked)
		if err := checked.err(); err != nil {
			return err
		}
		env.printf("%d policies fit %d tools\n", checked.policies(), len(checked.tools))
		return nil
	}
	return c
}

func policyFlags(c *cobra.Command, path *string, globs *[]string) {
	configFlag(c, path)
	c.Flags().StringArrayVar(globs, "policies", nil, "these policy files (a `glob`) in place of a configuration's; may be repeated")
	c.MarkFlagsMutuallyExclusive("config", "policies")
}

// checkedPolicies is what came of compiling policies.
type checkedPolicies struct {
	set      *policy.Set // nil if they do not compile
	findings policy.Findings
	tools    []policy.Tool
}

// loadPolicies compiles the policies of a configuration, or those that globs match.
func loadPolicies(ctx context.Context, path string, globs []string) (*checkedPolicies, error) {
	if len(globs) > 0 {
		return checkPolicies(ctx, nil, globs)
	}
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	return checkPolicies(ctx, cfg, nil)
}

func checkPolicies(ctx context.Context, cfg *config.Config, globs []string) (*checkedPolicies, error) {
	c := &checkedPolicies{}
	var options policy.Options
	if cfg != nil {
		globs = cfg.Policies // Load made them relative to the file's directory
		options.Domains = sortedKeys(cfg.Domains)
		options.Upstreams = sortedKeys(cfg.Upstreams)
		options.DefaultHold = cfg.Holds.Expires.Duration
		var err error
		if c.tools, err = pinnedTools(ctx, cfg); err != nil {
			return nil, err
		}
	}
	files, err := policy.Load(globs, "")
	if err != nil {
		return nil, usage("%w", err)
	}
	c.set, c.findings = policy.Compile(files, c.tools, options)
	return c, nil
}

func (c *checkedPolicies) policies() int {
	if c.set == nil {
		return 0
	}
	return len(c.set.Policies())
}

// err says that the policies cannot be put in force; the findings say why.
func (c *checkedPolicies) err() error {
	if c.findings.Err() == nil {
		return nil
	}
	return usage("the policies cannot be put in force")
}

func (c *checkedPolicies) code() int {
	if c.err() != nil {
		return exitUsage
	}
	return exitOK
}

// policyReport is what `deed policy check --json` prints.
type policyReport struct {
	OK        bool            `json:"ok"`
	PolicySet string          `json:"policy_set,omitempty"`
	Policies  int             `json:"policies"`
	Tools     int             `json:"tools"`
	Findings  []policyFinding `json:"findings"`
}

type policyFinding struct {
	Severity string   `json:"severity"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`
	Column   int      `json:"column,omitempty"`
	Policy   string   `json:"policy,omitempty"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Tools    []string `json:"tools,omitempty"`
}

func (c *checkedPolicies) report() *policyReport {
	r := &policyReport{OK: c.err() == nil, Policies: c.policies(), Tools: len(c.tools), Findings: []policyFinding{}}
	if c.set != nil {
		r.PolicySet = c.set.Digest()
	}
	for _, f := range c.findings {
		r.Findings = append(r.Findings, policyFinding{f.Severity.String(), f.File, f.Line, f.Column, f.Policy, f.Message, f.Hint, f.Tools})
	}
	return r
}

func (e *environment) printFindings(c *checkedPolicies) {
	for _, f := range c.findings {
		e.say("%s\n", plain(f.String()))
	}
}

func newPolicyTestCommand(env *environment) *cobra.Command {
	var path string
	var globs []string
	c := &cobra.Command{
		Use:   "test CASES.yaml...",
		Short: "Run cases of what policies should decide",
		Long:  "Decide every case and compare with what it expects.\n\n" + policyLong,
		Example: `  deed policy test policy/cases.yaml

  cases:
    - name: large refunds wait for a lead
      as: alice
      roles: [support]
      agents: [{ id: copilot }]
      tool: payments.refund
      input: { amount: 500 }
      expect: hold
    - name: auditors read no results of payments
      as: carol
      roles: [auditor]
      action: read
      tier: results
      call: { tool: payments.refund, domain: payments, principal: alice }
      expect: deny`,
		Args: cobra.MinimumNArgs(1),
	}
	policyFlags(c, &path, &globs)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		checked, err := loadPolicies(cmd.Context(), path, globs)
		if err != nil {
			return err
		}
		if err := checked.err(); err != nil {
			env.printFindings(checked)
			return err
		}
		return env.runCases(checked.set, args)
	}
	return c
}

// caseResult is one line of `deed policy test --json`.
type caseResult struct {
	File    string `json:"file"`
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Effect  string `json:"effect"`
	Problem string `json:"problem,omitempty"`
}

func (e *environment) runCases(set *policy.Set, paths []string) error {
	results := []caseResult{}
	failed := 0
	for _, path := range paths {
		text, err := readFile(path)
		if err != nil {
			return usage("read cases: %w", err)
		}
		cases, err := policy.ParseCases(text)
		if err != nil {
			return usage("%s: %w", path, err)
		}
		for _, r := range policy.RunCases(set, cases, time.Now()) {
			results = append(results, caseResult{path, r.Case.Name, r.Problem == "", string(r.Decision.Effect), r.Problem})
			if r.Problem != "" {
				failed++
			}
		}
	}
	if e.json {
		if err := e.printJSON(map[string]any{"ok": failed == 0, "cases": results}); err != nil {
			return err
		}
		return e.ended(failures(failed))
	}
	for _, r := range results {
		if r.OK {
			e.printf("ok    %s\n", plain(r.Name))
		} else {
			e.printf("FAIL  %s: %s\n", plain(r.Name), plain(r.Problem))
		}
	}
	if failed > 0 {
		return &exit{code: exitFailed, err: fmt.Errorf("%d of %d cases failed", failed, len(results))}
	}
	if len(results) == 0 {
		return &exit{code: exitUsage, err: errors.New("there are no cases")}
	}
	e.printf("%d cases passed\n", len(results))
	return nil
}

func failures(n int) int {
	if n > 0 {
		return exitFailed
	}
	return exitOK
}
