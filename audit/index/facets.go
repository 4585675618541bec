package index

import (
	"crypto/sha256"
	"encoding/base32"

	"github.com/deedbroker/deed/audit/calls"
)

// The kinds of facets: what a call can be found by exactly.
const (
	facetDomain   = "d"
	facetState    = "s"
	facetOutcome  = "o"
	facetPerson   = "p"
	facetAgent    = "a" // of any link of the chain
	facetTool     = "t"
	facetUpstream = "u"
	facetPolicy   = "r"
	facetVoter    = "v"
	facetTrace    = "x"
	facetSession  = "n"
	facetArgument = "g" // a JSON pointer and the value there
)

// facetMark stands before the token of a facet, and in no word: no beginning of a word finds facets.
const facetMark = "="

var facetEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// facetToken is how a facet stands in the full text: of a fixed length, and the
// same only for the same value, whatever characters are in it.
func facetToken(kind, value string) string {
	sum := sha256.Sum256([]byte(value))
	return facetMark + kind + facetEncoding.EncodeToString(sum[:10])
}

// eachFacet tells by what a call can be found. A value that is empty is none.
func eachFacet(c *calls.Call, add func(kind, value string)) {
	add(facetDomain, c.Domain)
	add(facetState, c.State.String())
	add(facetOutcome, c.Outcome.Code)
	add(facetPerson, c.Intent.Identity.Principal)
	add(facetTool, c.Intent.Tool)
	add(facetUpstream, upstream(c.Intent.Tool))
	add(facetTrace, traceID(c.Opening.Trace))
	add(facetSession, c.Intent.Identity.Session)
	for _, a := range c.Intent.Identity.Chain {
		add(facetAgent, a.ID)
	}
	for _, p := range policies(c) {
		add(facetPolicy, p)
	}
	for _, v := range voters(c) {
		add(facetVoter, v)
	}
}
