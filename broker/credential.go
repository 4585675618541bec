package broker

import (
	"errors"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/tools/credentials"
)

// credentialOf is what events say of a credential.
func credentialOf(c *credentials.Reference) *audit.Credential {
	if c == nil {
		return nil
	}
	return &audit.Credential{Source: c.Source, Version: c.Version, Lease: c.Lease, Expires: c.Expires}
}

func isUncredentialed(err error) bool {
	_, ok := errors.AsType[*credentials.Error](err)
	return ok
}

// judgeUncredentialed says what became of a call for which there was no credential to
// show the upstream. Where it should have come from is for the log.
func judgeUncredentialed(fail *Error, err error) (audit.Type, audit.Outcome, *Error) {
	fail.Kind, fail.Public = Upstream, "the broker has no credential for this upstream now, and nothing was done"
	if errors.Is(err, credentials.ErrNoCaller) {
		fail.Public += ": " + credentials.ErrNoCaller.Error()
	}
	if consent, needed := errors.AsType[*credentials.ConsentError](err); needed {
		fail.Public += ": " + consent.Error()
	}
	return audit.CallFailed, audit.Outcome{Code: audit.CodeCredential, Reason: fail.Public}, fail
}

// present keeps the token of a held call's caller for as long as their request is open.
func (h *hold) present(s credentials.Subject) (gone func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subject = s
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.subject = credentials.Subject{}
	}
}

// presented is the token that the caller of a held call has presented; nobody's if they
// have gone.
func (h *hold) presented() credentials.Subject {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subject
}
