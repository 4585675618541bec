package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/archive/place"
	"github.com/deedbroker/deed/audit/archive/s3"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/verify"
)

// archive puts the records from one on that are older than a moment where the configuration
// wants them, verified. It returns the place, and the first record that is not there;
// no place if none is configured. An archive of these that is there already is taken.
func (r removing) archive(ctx context.Context, first int64, before time.Time) (string, int64, error) {
	to := r.cfg.Archive
	if to == nil {
		return "", 0, nil
	}
	history, ok := r.log.(pack.History)
	if !ok {
		return "", 0, errors.New("this log cannot be archived")
	}
	_, topic, _ := audit.SplitLog(r.name)
	under := to.To
	if !s3.IsURL(under) { // it goes on record
		var err error
		if under, err = filepath.Abs(under); err != nil {
			return "", 0, err
		}
	}
	at := place.Under(under, fmt.Sprintf("%s-%s-from-%d", r.domain, topic, first))
	store, err := place.Open(at, s3.Options{Endpoint: firstOf(to.Endpoint, os.Getenv("AWS_ENDPOINT_URL")), Region: firstOf(to.Region, os.Getenv("AWS_REGION"))})
	if err != nil {
		return "", 0, err
	}
	trust := verify.Options{Keys: r.broker.SealedBy(), SelfApproval: true}
	m, report, err := archive.Create(ctx, store, history, pack.Options{Domains: []string{r.domain}, Until: before, Made: time.Now()}, trust)
	if errors.Is(err, archive.ErrThere) {
		m, report, err = archive.Check(ctx, store, trust)
	}
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", at, err)
	}
	if !report.OK() {
		return "", 0, fmt.Errorf("%s does not verify: %s", at, report.Findings[0])
	}
	for _, part := range m.Logs {
		if part.Log == r.name && part.From <= first {
			return at, part.To, nil
		}
	}
	return "", 0, fmt.Errorf("%s does not have %s from %d on", at, r.name, first)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// holdOn is the legal hold that a call is under by the event that opens it.
func (s *Server) holdOn(e audit.Event, at audit.Position) string {
	holds := s.broker.HoldsInForce()
	if holds.Len() == 0 {
		return ""
	}
	var c calls.Call
	if _, err := c.Apply(e, at); err != nil {
		return "" // what is left of a call that was removed, or for the verifier to report
	}
	hold, _ := holds.Covering(&c)
	return hold.ID
}
