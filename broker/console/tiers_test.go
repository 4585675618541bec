package console_test

import (
	"maps"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/brokertest"
)

// A call's page shows what one may read, says what it does not show and why, and puts more
// on record before it shows it.
func TestMoreOfACallIsShownOnRecord(t *testing.T) {
	t.Parallel()
	s := startWith(t, func(o *brokertest.Options) {
		o.Policies += `
permit (principal in Role::"auditor", action == Action::"read", resource);
forbid (principal in Role::"auditor", action == Action::"read", resource) unless { context.tier == Tier::"metadata" };
`
	})
	must(t, s.call("not for everybody"))
	lead, auditor := openBrowser(t), openBrowser(t)
	lead.login(s, "bob")
	auditor.login(s, "carol")
	for _, each := range []*browser{lead, auditor} {
		each.do(chromedp.Click("#to-history"))
		each.sees("1 call, the newest first.")
		each.do(chromedp.Click(`.feed a.tool`))
		each.sees("Exact arguments")
	}
	auditor.sees("Withheld: policy lets you read metadata only.")
	auditor.look("withheld")
	if got := ask[int](auditor, "document.querySelectorAll('[data-reveal]').length"); got != 0 {
		t.Errorf("there are %d ways to what she may not read", got)
	}
	lead.sees("You may read this. That you do goes on record.")
	if got := s.readings(); len(got) != 0 {
		t.Errorf("before anybody was shown anything, on record is %+v", got)
	}
	lead.look("reveal")
	lead.do(chromedp.Click(`[data-reveal="arguments"]`))
	lead.sees(`"text": "not for everybody"`)
	lead.until("document.activeElement.className === 'json'")
	lead.do(chromedp.Click(`[data-reveal="results"]`))
	lead.sees(`"type": "text"`)
	want := []audit.Reading{{What: audit.ReadCall, Tier: "arguments"}, {What: audit.ReadCall, Tier: "results"}}
	if diff := cmp.Diff(want, s.readings()); diff != "" {
		t.Errorf("on record (-want +got):\n%s", diff)
	}
	for _, each := range []*browser{lead, auditor} {
		each.harmless("a call by tiers")
	}
}

// readings are the looks on record, but for who looked at which call, and for lists.
func (s *stack) readings() []audit.Reading {
	s.t.Helper()
	sizes, err := s.rig.Log.Sizes(s.t.Context())
	must(s.t, err)
	var all []audit.Reading
	for log := range maps.Keys(sizes) {
		for i := range sizes[log] {
			r, err := s.rig.Log.Record(s.t.Context(), audit.Position{Log: log, Index: i})
			must(s.t, err)
			e, err := r.Event()
			must(s.t, err)
			if e.Type == audit.HistoryRead {
				read, err := audit.DataOf[audit.Reading](e)
				must(s.t, err)
				if read.What == audit.ReadList {
					continue
				}
				all = append(all, audit.Reading{What: read.What, Tier: read.Tier, For: read.For})
			}
		}
	}
	return all
}
