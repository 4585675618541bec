package oidc

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
)

// Logout is what a provider says when somebody has logged out there, or was.
type Logout struct {
	Issuer    string
	Session   string // sid; empty: all sessions of the principal
	Principal string // qualified; empty if only the session is named
	Issued    time.Time
}

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	// maxLogouts bounds the ids of logout tokens that are kept until these expire.
	maxLogouts = 10_000
)

// VerifyLogout checks a logout token (OpenID Connect Back-Channel Logout 1.0 section
// 2.6): of a configured issuer, for one of its people's clients or an agent that is known (people
// log in to some of these), in its lifetime, of the logout event, for a session or subject,
// without a nonce, and not used before. Its error is an [*agents.Rejection].
func (v *Verifier) VerifyLogout(ctx context.Context, token string) (*Logout, error) {
	if len(token) > v.config.MaxTokenBytes {
		return nil, refuse(agents.Malformed, "the token is larger than the limit")
	}
	parsed, rejection := parse(token)
	if rejection != nil {
		return nil, rejection
	}
	i, ok := v.issuers[parsed.issuer]
	if !ok {
		return nil, refuse(agents.UnknownIssuer, "iss is none of the configured issuers")
	}
	logout, rejection := v.logout(ctx, i, token, parsed)
	if rejection != nil {
		rejection.Issuer = i.URL
		return nil, rejection
	}
	return logout, nil
}

func (v *Verifier) logout(ctx context.Context, i *issuer, token string, parsed *compact) (*Logout, *agents.Rejection) {
	if parsed.mediaType != "logout+jwt" && parsed.mediaType != "jwt" && parsed.mediaType != "" {
		return nil, refuse(agents.WrongType, "typ is that of another kind of token")
	}
	if !slices.Contains(i.algorithms, parsed.algorithm) {
		return nil, refuse(agents.BadAlgorithm, "the issuer is not configured for this algorithm")
	}
	known := func(audience []string) bool {
		return slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(i.PeopleClients, a) || i.isAgent(a) })
	}
	if _, rejection := v.checkSignedFor(ctx, i, token, parsed, known); rejection != nil {
		return nil, rejection
	}
	c := parsed.claims
	if rejection := checkLogoutEvent(c); rejection != nil {
		return nil, rejection
	}
	times, rejection := v.checkTimes(c, time.Now())
	if rejection != nil {
		return nil, rejection
	}
	id, rejection := c.text("jti")
	if rejection != nil || id == "" {
		return nil, refuse(agents.Malformed, "jti is missing")
	}
	logout := &Logout{Issuer: i.URL, Issued: times.issued}
	if logout.Session, rejection = c.name("sid"); rejection != nil {
		return nil, rejection
	}
	subject, rejection := c.name("sub")
	if rejection != nil {
		return nil, rejection
	}
	if subject != "" {
		logout.Principal = qualify(i.Prefix, subject)
	}
	if subject == "" && logout.Session == "" {
		return nil, refuse(agents.NoSubject, "neither sid nor sub")
	}
	if !v.logouts.add(i.URL+"\x00"+id, times.expires.Add(v.config.ExpiryLeeway), time.Now()) {
		return nil, refuse(agents.Malformed, "a logout token that was used before, or more of them than are kept")
	}
	return logout, nil
}

// checkLogoutEvent is on what tells a logout token from others of the same issuer.
func checkLogoutEvent(c claimSet) *agents.Rejection {
	if c.has("nonce") {
		return refuse(agents.WrongType, "a logout token has no nonce")
	}
	events, ok := decodeClaims(c["events"])
	if !ok || events[logoutEvent].Kind() != '{' {
		return refuse(agents.WrongType, "no logout token: its events are others")
	}
	return nil
}

// usedLogouts remembers tokens until they expire.
type usedLogouts struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu
}

// add reports false if id is there already, or if there is no room.
func (u *usedLogouts) add(id string, until, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until == nil {
		u.until = map[string]time.Time{}
	}
	if len(u.until) >= maxLogouts {
		for one, over := range u.until {
			if now.After(over) {
				delete(u.until, one)
			}
		}
	}
	if end, known := u.until[id]; known && !now.After(end) || len(u.until) >= maxLogouts {
		return false
	}
	u.until[id] = until
	return true
}
