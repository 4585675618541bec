package main

import (
	"github.com/deedbroker/deed/audit/pulsar/topics"
)

// printTopics shows a plan, and what the policies and Pulsar disagree about.
func (e *environment) printTopics(seen *topicsSeen) error {
	if e.json {
		return e.printJSON(seen)
	}
	if len(seen.Steps) == 0 {
		e.printf("tenant %s: nothing to change\n", plain(seen.Tenant))
	} else {
		t := newTable(e.stdout, "STEP", "OBJECT", "WHAT", "NOW", "THEN")
		for _, s := range seen.Steps {
			t.row(string(s.Verb), plain(s.Object.String()), plain(s.About()), shown(s.From), shown(s.To))
		}
		t.flush()
	}
	for _, s := range seen.Steps {
		if s.Erases != "" {
			e.printf("ERASES %s: %s\n", plain(s.Object.String()), plain(s.Erases))
		}
	}
	e.printFindingsOf(seen.Plan)
	for _, d := range seen.Disagreements {
		e.printf("DISAGREE %s\n", plain(d.String()))
	}
	return nil
}

// printFindingsOf shows what no step of a plan changes.
func (e *environment) printFindingsOf(p topics.Plan) {
	for _, kind := range []struct {
		name     string
		findings []topics.Finding
	}{{"REFUSED", p.Refused}, {"STRANGE", p.Strange}, {"note", p.Notes}} {
		for _, f := range kind.findings {
			e.printf("%s %s: %s\n", kind.name, plain(f.Object), plain(f.Text))
		}
	}
}

func shown(v topics.Value) string {
	if v == nil {
		return ""
	}
	return plain(v.String())
}
