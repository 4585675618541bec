package tools

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	maxFinding = 1024 // bytes
	maxNotes   = 20
)

// described is a definition with what its upstream's list alone says about it.
type described struct {
	Definition
	method  string
	schema  *jsonschema.Schema
	output  *jsonschema.Schema
	finding string
}

// describe reads an upstream's list of definitions. Names that were known before
// come first, so that a new tool never takes the place of one it resembles: it is the
// later one that gets the finding. Definitions that cannot even be named are left
// out, with a note.
func describe(upstream string, before []described, raws []json.RawMessage) (known []described, notes []string, err error) {
	if len(raws) > MaxTools {
		return nil, nil, fmt.Errorf("it lists %d tools, more than %d", len(raws), MaxTools)
	}
	previous := make(map[string]described, len(before))
	for _, d := range before {
		previous[d.Name] = d
	}
	index := make(map[string]int, len(raws))
	for i, raw := range raws {
		d, err := ParseDefinition(raw)
		if err != nil {
			notes = append(notes, fmt.Sprintf("tool %d: %v", i+1, err))
			continue
		}
		if first, ok := index[d.Name]; ok {
			if known[first].Digest != d.Digest {
				known[first].finding = "its upstream lists the name twice, with different definitions"
			}
			continue
		}
		index[d.Name] = len(known)
		known = append(known, inspect(d, previous[d.Name]))
	}
	slices.SortStableFunc(known, func(a, b described) int { return rank(previous, a) - rank(previous, b) })
	findCollisions(upstream, known)
	if len(notes) > maxNotes {
		notes = append(notes[:maxNotes:maxNotes], fmt.Sprintf("and %d more", len(notes)-maxNotes))
	}
	return known, notes, nil
}

// rank orders names that were callable before others.
func rank(previous map[string]described, d described) int {
	switch p, ok := previous[d.Name]; {
	case ok && p.finding == "":
		return 0
	case ok:
		return 1
	default:
		return 2
	}
}

// inspect finds what is wrong with a definition by itself, compiling its schema
// unless it was compiled before.
func inspect(d Definition, before described) described {
	result := described{Definition: d, method: methodOf(d), schema: before.schema, output: before.output}
	if before.schema == nil || before.Digest != d.Digest {
		var err error
		if result.schema, err = compileSchema(d.InputSchema, true); err != nil {
			result.finding = cut("its input schema cannot be used: "+err.Error(), maxFinding)
		}
		if result.output, err = compileSchema(d.OutputSchema, false); err != nil {
			result.output = nil // answers are not checked
		}
	}
	if finding := nameFinding(d.Name); finding != "" {
		result.finding = finding
	}
	return result
}

// findCollisions quarantines every tool whose name can be taken for that of one before it.
func findCollisions(upstream string, known []described) {
	taken := map[string]string{}
	for i := range known {
		name := known[i].Name
		keys := []string{"case " + folded(name), "looks " + skeleton(name), "wire " + strings.ToLower(WireName(upstream, name))}
		for _, key := range keys {
			if other, ok := taken[key]; ok && known[i].finding == "" {
				known[i].finding = "its name can be taken for that of " + printable(other)
			}
		}
		for _, key := range keys {
			if _, ok := taken[key]; !ok {
				taken[key] = name
			}
		}
	}
}

func sameDescribed(a, b described) bool {
	return a.Name == b.Name && a.Digest == b.Digest && a.finding == b.finding
}
