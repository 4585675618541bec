package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/httpapi"
)

// archivedCall is a call as archives have it.
type archivedCall struct {
	call   calls.Call
	events []httpapi.CallEvent
}

// archivedCalls are the calls in archives that are wanted, in the order in which they were
// opened, and with their events if asked for. Where archives have the same records, they
// are read once. Memory grows with what is wanted, and with calls that are open.
func archivedCalls(ctx context.Context, kept []archive.Kept, events bool, wants func(*calls.Call) bool) ([]archivedCall, error) {
	next := map[string]int64{} // by log: records that were read
	byID := map[string]*archivedCall{}
	for _, a := range inOrder(kept) {
		for r, err := range a.Read(ctx, "") {
			if err != nil {
				return nil, fmt.Errorf("read archive %s: %w", a.Place, err)
			}
			if r.Position.Index < next[r.Position.Log] {
				continue
			}
			next[r.Position.Log] = r.Position.Index + 1
			e, err := r.Event()
			if err != nil || e.Topic != audit.TopicCalls {
				continue // what is wrong with an archive is for verify to tell
			}
			c := byID[e.Subject]
			if c == nil {
				c = &archivedCall{}
				byID[e.Subject] = c
			}
			_, _ = c.call.Apply(e, r.Position) // the same
			if events {
				c.events = append(c.events, httpapi.CallEvent{Position: r.Position.String(), Event: r.Stored})
			}
			if c.call.State == calls.None || c.call.State == calls.Closed && !wants(&c.call) {
				delete(byID, e.Subject)
			}
		}
	}
	var found []archivedCall
	for _, c := range byID {
		if wants(&c.call) {
			found = append(found, *c)
		}
	}
	slices.SortFunc(found, func(a, b archivedCall) int { return a.call.Opening.Time.Compare(b.call.Opening.Time) })
	return found, nil
}

// inOrder puts the archives with the older records first.
func inOrder(kept []archive.Kept) []archive.Kept {
	sorted := slices.Clone(kept)
	slices.SortStableFunc(sorted, func(a, b archive.Kept) int { return int(min(max(firstOfCalls(a)-firstOfCalls(b), -1), 1)) })
	return sorted
}

func firstOfCalls(k archive.Kept) int64 {
	least := int64(-1)
	for _, p := range k.Manifest().Logs {
		if _, topic, _ := audit.SplitLog(p.Log); topic == audit.TopicCalls && (least < 0 || p.From < least) {
			least = p.From
		}
	}
	return least
}

// historyOfArchives searches archives as GET /v1/calls searches a broker's history.
func (e *environment) historyOfArchives(ctx context.Context, archives archivesSource, query url.Values, limit int) error {
	if query.Get("arg") != "" {
		return withHint(usage("archives have no arguments"), "search by person, agent, tool, outcome, policy, approver, session, trace or words")
	}
	q, domain, err := httpapi.ParseSearch(query)
	if err != nil {
		return usage("%w", err)
	}
	if domain != "" {
		q.Domains = []string{domain}
	}
	kept, closing, err := archives.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { _ = closing.Close() }() // they were only read
	found, err := archivedCalls(ctx, kept, false, q.Fits)
	if err != nil {
		return err
	}
	list := []httpapi.CallSummary{}
	for _, c := range slices.Backward(found) {
		if limit > 0 && len(list) == limit {
			break
		}
		list = append(list, httpapi.Summarize(c.call))
	}
	return e.printCalls(list)
}

// showOfArchives shows a call as archives have it.
func (e *environment) showOfArchives(ctx context.Context, archives archivesSource, id string) error {
	kept, closing, err := archives.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { _ = closing.Close() }() // they were only read
	found, err := archivedCalls(ctx, kept, true, func(c *calls.Call) bool { return c.ID == id })
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &exit{code: exitFailed, err: errors.New("no archive given has this call")}
	}
	d := httpapi.Describe(found[0].call)
	d.Events = found[0].events
	if e.json {
		return e.printJSON(d)
	}
	e.printDetail(d)
	e.printf("archives have no arguments or results; deed archive verify proves what is in them\n")
	return nil
}
