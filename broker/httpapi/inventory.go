package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/tools"
)

// Agent is what the history knows of an agent, in the domains that the viewer may read.
type Agent struct {
	Agent      string    `json:"agent"`
	First      time.Time `json:"first"` // when it first called
	Last       time.Time `json:"last"`
	Calls      int64     `json:"calls"`
	Denied     int64     `json:"denied"`
	Held       int64     `json:"held"` // now
	Principals []string  `json:"principals"`
	Tools      []string  `json:"tools"`
	Registered bool      `json:"registered"` // the broker's configuration names it
	Owner      string    `json:"owner"`      // who answers for it
	Purpose    string    `json:"purpose"`
	Roles      []string  `json:"roles"`      // that the configuration gives it
	Revocation string    `json:"revocation"` // id of what stops it; empty if nothing does
}

// RegisteredAgent is what the configuration says of an agent.
type RegisteredAgent struct {
	Owner, Purpose string
	Roles          []string
}

// listAgents serves GET /v1/agents.
func (a *api) listAgents(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "limit", "cursor")
	limit := p.limit()
	if p.err != nil {
		return p.err
	}
	if err := a.cfg.Broker.Browsing(r.Context(), v.id, audit.Reading{What: audit.ReadList, For: "agents"}); err != nil {
		return err
	}
	_, readable := a.domains(v)
	known, err := a.cfg.History.Agents(r.Context(), readable...)
	if err != nil {
		return fmt.Errorf("list agents: %w", err)
	}
	held := map[string]int64{}
	for _, h := range a.cfg.Broker.Waiting(v.id) {
		if chain := h.Intent.Identity.Chain; len(chain) > 0 && slices.Contains(readable, h.Domain) {
			held[chain[0].ID]++
		}
	}
	items, registered := []Agent{}, map[string]RegisteredAgent{}
	if a.cfg.Agents != nil {
		maps.Copy(registered, a.cfg.Agents())
	}
	for _, k := range known {
		if k.ID != "" {
			items = append(items, a.about(agentOf(k, held[k.ID]), registered))
			delete(registered, k.ID)
		}
	}
	if v.mayReadDomain(audit.OwnDomain) { // those that never called
		for id := range maps.Clone(registered) {
			items = append(items, a.about(Agent{Agent: id, Principals: []string{}, Tools: []string{}}, registered))
		}
	}
	list, err := page(items, func(a Agent) string { return a.Agent }, limit, p.text("cursor"))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, list)
	return nil
}

// about adds what is known of an agent beside its calls.
func (a *api) about(agent Agent, registered map[string]RegisteredAgent) Agent {
	said, ok := registered[agent.Agent]
	agent.Registered, agent.Owner, agent.Purpose = ok, said.Owner, said.Purpose
	agent.Roles = append([]string{}, said.Roles...)
	if r, stopped := a.cfg.Broker.RevocationOf(agent.Agent); stopped {
		agent.Revocation = r.ID
	}
	return agent
}

func agentOf(k index.Agent, held int64) Agent {
	agent := Agent{Agent: k.ID, First: utc(k.First), Last: utc(k.Last), Held: held, Principals: append([]string{}, k.For...), Tools: append([]string{}, k.Tools...)}
	agent.Principals = slices.DeleteFunc(agent.Principals, func(p string) bool { return p == "" })
	for _, n := range k.Outcomes {
		agent.Calls += n
	}
	for _, code := range codesOf(outcomeDenied) {
		agent.Denied += k.Outcomes[code]
	}
	return agent
}

// Tool is a tool as the registry knows it now.
type Tool struct {
	Name        string         `json:"name"`      // upstream.tool
	WireName    string         `json:"wire_name"` // upstream__tool, as models see it
	Upstream    string         `json:"upstream"`
	Domain      string         `json:"domain"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Digest      string         `json:"digest"`  // of its definition
	Finding     string         `json:"finding"` // why it is quarantined; empty if it can be called
	Annotations Annotations    `json:"annotations"`
	InputSchema jsontext.Value `json:"input_schema,omitempty"`
	Health      string         `json:"health"`   // why its upstream cannot take calls now; empty if it can
	Visible     bool           `json:"visible"`  // this viewer could call it with some arguments
	Policies    []string       `json:"policies"` // for those who may read the policies: the ids of those that can have a say in its calls
}

// Annotations are an upstream's hints about a tool, unverified.
type Annotations struct {
	ReadOnly    *bool `json:"read_only,omitzero"`
	Destructive *bool `json:"destructive,omitzero"`
	Idempotent  *bool `json:"idempotent,omitzero"`
	OpenWorld   *bool `json:"open_world,omitzero"`
}

// listTools serves GET /v1/tools: those that the viewer could call, or whose domain
// they may read.
func (a *api) listTools(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "limit", "cursor")
	limit := p.limit()
	if p.err != nil {
		return p.err
	}
	visible := map[string]bool{}
	for _, t := range a.cfg.Broker.Visible(r.Context(), v.id) {
		visible[t.Name()] = true
	}
	items, set := []Tool{}, a.cfg.Policies.Set()
	for _, t := range a.cfg.Catalogue.Tools() {
		if visible[t.Name()] || v.mayReadDomain(t.Domain) {
			item := toolOf(t, visible[t.Name()])
			if v.mayReadDomain(audit.OwnDomain) {
				item.Policies = append(item.Policies, set.About(t.Name())...)
			}
			items = append(items, item)
		}
	}
	a.addHealth(items)
	list, err := page(items, func(t Tool) string { return t.Name }, limit, p.text("cursor"))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, list)
	return nil
}

// addHealth says how the upstreams of tools fare.
func (a *api) addHealth(items []Tool) {
	trouble := map[string]string{}
	for _, s := range a.cfg.Catalogue.Status() {
		if s.Err != nil {
			trouble[s.Upstream] = s.Err.Error()
		}
	}
	for i := range items {
		items[i].Health = trouble[items[i].Upstream]
	}
}

func toolOf(t *tools.Tool, visible bool) Tool {
	return Tool{
		Name: t.Name(), WireName: t.WireName(), Upstream: t.Upstream, Domain: t.Domain, Title: t.Title, Description: t.Description,
		Digest: t.Digest, Finding: t.Finding, InputSchema: jsontext.Value(t.InputSchema), Visible: visible,
		Annotations: annotationsOf(t.Annotations), Policies: []string{},
	}
}

func annotationsOf(a tools.Annotations) Annotations {
	return Annotations{ReadOnly: a.ReadOnly, Destructive: a.Destructive, Idempotent: a.Idempotent, OpenWorld: a.OpenWorld}
}
