package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
)

// maxDraft bounds a draft of policies, in bytes.
const maxDraft = 1 << 20

// Policy is what is in force.
type Policy struct {
	PolicySet string          `json:"policy_set"` // digest
	Files     []PolicyFile    `json:"files"`      // for those who may read the broker's own domain
	Policies  []PolicyInfo    `json:"policies"`   // likewise: what the files say, by id
	Findings  []PolicyFinding `json:"findings"`   // likewise: what is odd about the policies, and tools that they do not fit
}

// PolicyFile is one file of Cedar policies.
type PolicyFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256,omitempty"` // of the text
	Text   string `json:"text"`
}

// PolicyInfo is one policy of a set.
type PolicyInfo struct {
	ID        string   `json:"id"`
	Effect    string   `json:"effect"` // permit or forbid
	File      string   `json:"file"`
	Line      int      `json:"line"`
	Reason    string   `json:"reason,omitempty"`
	Approvers []string `json:"approvers"`
	Expires   float64  `json:"expires_s,omitempty"` // of holds that it makes
	Text      string   `json:"text"`                // in Cedar's canonical form
}

// PolicyFinding is one thing that is odd about policies, or between them and the tools.
type PolicyFinding struct {
	Severity string   `json:"severity"` // error, quarantine or warning
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`
	Column   int      `json:"column,omitempty"`
	Policy   string   `json:"policy,omitempty"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Tools    []string `json:"tools"`
}

// TrialAgent is an agent of a [Trial].
type TrialAgent struct {
	ID    string   `json:"id"`
	Roles []string `json:"roles,omitempty"` // those of the configuration, if none are given
}

// Trial is the body of POST /v1/policy/try: a call that nobody makes.
type Trial struct {
	Principal string         `json:"principal,omitempty"` // none: the agent acts on its own
	Roles     []string       `json:"roles,omitempty"`
	Agents    []TrialAgent   `json:"agents,omitempty"` // the chain, the current actor first
	Tool      string         `json:"tool"`
	Arguments jsontext.Value `json:"arguments,omitempty"`
	Scopes    []string       `json:"scopes,omitempty"`
	ACR       string         `json:"acr,omitempty"`
	At        time.Time      `json:"at,omitzero"` // now, unless given

	Approvals     int          `json:"approvals,omitempty"` // as if so many people had approved it
	ApproverRoles []string     `json:"approver_roles,omitempty"`
	Files         []PolicyFile `json:"files,omitempty"` // a draft, in place of what is in force
}

// TrialVerdict is what policies say of a [Trial].
type TrialVerdict struct {
	PolicySet string          `json:"policy_set,omitempty"`
	Effect    string          `json:"effect,omitempty"` // allow, deny or hold; none if the draft is no set of policies
	Text      string          `json:"text,omitempty"`   // of a denial, as the agent would read it
	Reasons   []audit.Reason  `json:"reasons"`
	Errors    []string        `json:"errors"` // of policies that failed to evaluate
	Approvers []string        `json:"approvers"`
	Needed    int             `json:"needed,omitempty"` // approvals, at least
	Expires   time.Time       `json:"expires,omitzero"`
	Findings  []PolicyFinding `json:"findings"` // of a draft
}

// showPolicy serves GET /v1/policy.
func (a *api) showPolicy(w http.ResponseWriter, r *http.Request, v *viewer) error {
	if err := parse(r.URL.RawQuery).err; err != nil {
		return err
	}
	set := a.cfg.Policies.Set()
	p := Policy{PolicySet: set.Digest(), Files: []PolicyFile{}, Policies: []PolicyInfo{}, Findings: []PolicyFinding{}}
	if v.mayReadDomain(audit.OwnDomain) {
		for _, f := range a.cfg.Policies.Files() {
			sum := sha256.Sum256(f.Text)
			p.Files = append(p.Files, PolicyFile{Name: f.Name, SHA256: hex.EncodeToString(sum[:]), Text: string(f.Text)})
		}
		for _, i := range set.Policies() {
			p.Policies = append(p.Policies, PolicyInfo{
				ID: i.ID, Effect: i.Effect, File: i.File, Line: i.Line, Reason: i.Reason, Approvers: append([]string{}, i.Approvers...), Expires: i.Expires.Seconds(), Text: i.Text,
			})
		}
		p.Findings = findingsOf(a.cfg.Policies.Findings())
	}
	write(w, http.StatusOK, mediaJSON, p)
	return nil
}

func findingsOf(found policy.Findings) []PolicyFinding {
	list := []PolicyFinding{}
	for _, f := range found {
		list = append(list, PolicyFinding{
			Severity: f.Severity.String(), File: f.File, Line: f.Line, Column: f.Column, Policy: f.Policy, Message: f.Message, Hint: f.Hint,
			Tools: append([]string{}, f.Tools...),
		})
	}
	return list
}

// tryPolicy serves POST /v1/policy/try.
func (a *api) tryPolicy(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body Trial
	if err := decode(r, &body); err != nil {
		return err
	}
	if err := v.mayTry(); err != nil {
		return err
	}
	if err := a.cfg.Broker.Reading(r.Context(), v.id, audit.Reading{What: audit.ReadTrial, For: body.sought()}); err != nil {
		return err
	}
	out := TrialVerdict{Reasons: []audit.Reason{}, Errors: []string{}, Approvers: []string{}, Findings: []PolicyFinding{}}
	var set *policy.Set
	if len(body.Files) > 0 {
		var found policy.Findings
		if set, found, _ = a.cfg.Policies.Check(drafted(body.Files)); set == nil { // the findings say why
			out.Findings = findingsOf(found)
			write(w, http.StatusOK, mediaJSON, out)
			return nil
		}
		out.Findings = findingsOf(found)
	}
	d, err := a.cfg.Broker.Try(broker.Trial{
		Set: set, Identity: a.imagined(body), Tool: body.Tool, Arguments: body.Arguments, At: body.At,
		Approvals: policy.Approvals{Count: body.Approvals, Roles: body.ApproverRoles},
	})
	if err != nil {
		return err
	}
	out.PolicySet, out.Effect, out.Text, out.Needed = d.PolicySet, string(d.Effect), d.Text, d.Quorum
	out.Reasons, out.Errors, out.Approvers = append(out.Reasons, d.Reasons...), append(out.Errors, d.Errors...), append(out.Approvers, d.Approvers...)
	if d.Expires != nil {
		out.Expires = utc(*d.Expires)
	}
	write(w, http.StatusOK, mediaJSON, out)
	return nil
}

// sought is a trial as it is recorded: of its arguments and its draft there are digests.
func (t Trial) sought() string {
	q := url.Values{"tool": {t.Tool}}
	if t.Principal != "" {
		q.Set("principal", t.Principal)
	}
	for _, agent := range t.Agents {
		q.Add("agent", agent.ID)
	}
	if len(t.Arguments) > 0 {
		q.Set("arguments", digestOf(t.Arguments))
	}
	if len(t.Files) > 0 {
		q.Set("draft", draftDigest(t.Files))
	}
	return q.Encode()
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// draftDigest tells drafts apart.
func draftDigest(files []PolicyFile) string {
	h := sha256.New()
	for _, f := range files {
		_, _ = fmt.Fprintf(h, "%d:%s%d:%s", len(f.Name), f.Name, len(f.Text), f.Text) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// mayTry lets those try policies who may read them.
func (v *viewer) mayTry() error {
	if v.mayReadDomain(audit.OwnDomain) {
		return nil
	}
	return &broker.Error{Kind: broker.Denied, Op: "try policies", Public: "only those may try policies who may read the domain " + audit.OwnDomain}
}

func drafted(files []PolicyFile) []policy.File {
	out := make([]policy.File, len(files))
	for i, f := range files {
		out[i] = policy.File{Name: f.Name, Text: []byte(f.Text)}
	}
	return out
}

// imagined is who would make a call that nobody makes.
func (a *api) imagined(t Trial) audit.Identity {
	id := audit.Identity{Principal: t.Principal, Roles: t.Roles, Scopes: t.Scopes, ACR: t.ACR, Expires: time.Now().Add(time.Hour).UTC()}
	var registered map[string]RegisteredAgent
	if a.cfg.Agents != nil {
		registered = a.cfg.Agents()
	}
	for _, agent := range t.Agents {
		known, ok := registered[agent.ID]
		actor := audit.Actor{ID: agent.ID, Roles: agent.Roles, Registered: ok}
		if len(agent.Roles) == 0 {
			actor.Roles = slices.Clone(known.Roles)
		}
		id.Chain = append(id.Chain, actor)
	}
	return id
}
