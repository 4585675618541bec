package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/broker"
)

// precedentDays is how far people who decide on a call look back.
const precedentDays = 30

// Precedents are what became of held calls of the same tool by the same agent for the
// same person.
type Precedents struct {
	Days      int   `json:"days"` // that were looked at
	Approved  int64 `json:"approved"`
	Denied    int64 `json:"denied"` // by people
	Expired   int64 `json:"expired"`
	Cancelled int64 `json:"cancelled"`
	Open      int64 `json:"open"` // waiting now
}

// Quorum is how far a hold is on its way to being lifted.
type Quorum struct {
	Voters []string `json:"voters"` // whose approvals count so far
	Needed int      `json:"needed"` // the least number of approvals in all, by the policies of now; 0 if that is not known
}

// alikeKey is the same for calls that can be decided together: of one definition of one
// tool, by the same agents, waiting for the same people.
func alikeKey(c calls.Call) string {
	parts := []any{c.Intent.Tool, c.Intent.Definition, c.Approvers()}
	for _, a := range c.Intent.Identity.Chain {
		parts = append(parts, a.ID)
	}
	b, _ := json.Marshal(parts) // strings always marshal
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func quorumOf(h broker.HeldCall) Quorum {
	q := Quorum{Voters: []string{}, Needed: h.Quorum}
	for _, v := range h.Votes {
		q.Voters = append(q.Voters, v.By.Principal)
	}
	return q
}

// precede adds their precedents to held calls. Without them people can decide all the same.
func (a *api) precede(ctx context.Context, held ...*HeldCall) {
	kinds := make([]index.Alike, len(held))
	for i, h := range held {
		kinds[i] = index.Alike{Domain: h.Domain, Tool: h.Tool, Agent: h.Actor, Principal: h.Principal}
	}
	found, err := a.cfg.History.Precedents(ctx, time.Now().AddDate(0, 0, -precedentDays), kinds)
	if err != nil {
		a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "precedents of held calls cannot be read", slog.Any("error", err))
		return
	}
	for i, h := range held {
		p := found[kinds[i]]
		h.Precedents = &Precedents{
			Days: precedentDays, Approved: p.Approved, Denied: p.Denied, Expired: p.Expired, Cancelled: p.Cancelled, Open: p.Open,
		}
	}
}
