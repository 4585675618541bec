package policy

import (
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go"

	"github.com/deedbroker/deed/audit"
)

// Tier is how much of a record somebody reads. Each has those before it: who may not
// read arguments reads no results either.
type Tier string

// The tiers of reading, as policies see them in context.tier.
const (
	TierMetadata  Tier = "metadata"  // who called what, when, what was decided and what came of it
	TierArguments Tier = "arguments" // and what a call was made with, and why the agent says so
	TierResults   Tier = "results"   // and what it answered
)

// Tiers are all there are, each before those that have more.
func Tiers() []Tier { return []Tier{TierMetadata, TierArguments, TierResults} }

// Covers reports whether whoever reads t reads the other, too. The empty tier is to read nothing.
func (t Tier) Covers(other Tier) bool {
	return t != "" && slices.Index(Tiers(), t) >= slices.Index(Tiers(), other)
}

// tierType is the type of context.tier.
const tierType = "Tier"

// checkTiers finds tiers that there are not: the type checker takes any.
func (c *compilation) checkTiers(r *rule) Findings {
	var found Findings
	names := make([]string, 0, len(Tiers()))
	for _, t := range Tiers() {
		names = append(names, string(t))
	}
	for _, e := range r.literals.entities {
		if e.Type != tierType || slices.Contains(names, string(e.ID)) {
			continue
		}
		found = append(found, r.finding(Fatal, fmt.Sprintf("there is no %s: there are %s", e, list(names)), suggest(string(e.ID), names), string(e.ID)))
	}
	return found
}

// Reads is the most that a person may read of something: each tier is asked for, from the
// first on, until one is refused. Empty is nothing.
func (s *Set) Reads(a Ask) (most Tier) {
	a.Action = ActionRead
	for _, t := range Tiers() {
		a.Tier = t
		if s.Permits(a).Effect != audit.Allow {
			break
		}
		most = t
	}
	return most
}

func (t Tier) value() cedar.EntityUID { return uid(tierType, string(t)) }
