package main

import (
	"context"
	"fmt"

	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/hindsight"
)

// recount adds to a report what comes of counting again what decisions say that the counters
// of their policies came to. Where the history cannot be read, the report says that already.
func recount(ctx context.Context, from hindsight.History, report *verify.Report) error {
	c, err := hindsight.Recount(ctx, from)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		report.Notes = append(report.Notes, fmt.Sprintf("what counters of policies came to was not counted again: %v", err))
		return nil
	case c == nil:
		return nil
	}
	for _, m := range c.Wrong {
		report.Findings = append(report.Findings, verify.Finding{
			Rule: verify.WrongCount, Where: m.At, CallID: m.CallID,
			Expected: fmt.Sprintf("at least %d, which stand in the log up to the records that the decision names", m.Recorded),
			Found:    fmt.Sprintf("a decision by %d of %q", m.Said, m.Counter),
		})
	}
	report.Omitted += c.Omitted
	note := func(format string, values ...any) {
		report.Notes = append(report.Notes, fmt.Sprintf(format, values...))
	}
	if c.Decisions > 0 {
		note("%d decisions by counters of policies were counted again", c.Decisions)
	}
	if c.Unjudged > 0 {
		note("%d values of counters could not be: the text of their policies is not there, the broker was far behind, or they can also fall", c.Unjudged)
	}
	if c.Behind > 0 {
		note("%d calls were permitted while others, which other replicas had permitted, were on their way: their counters lacked up to %d", c.Behind, c.By)
	}
	return nil
}
