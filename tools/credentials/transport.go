package credentials

import (
	"errors"
	"io"
	"net/http"
)

// Transport shows an upstream a source's credential with each request, and once another
// if it answers 401.
type Transport struct {
	Base   http.RoundTripper
	Source Source
	Header string // Authorization, with the scheme Bearer, if empty
}

const maxDrain = 64 << 10 // bytes of a refusal that are read, so that its connection can be used again

// RoundTrip implements [http.RoundTripper]. Its error is an *[Error] where there is no credential.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	subject, used := From(r.Context())
	shown, err := t.Source.Get(r.Context(), subject)
	if err != nil {
		return nil, unsent(r, err)
	}
	response, err := t.send(r, r.Body, shown)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		used(shown.Reference)
		return response, err
	}
	again, body, ok := t.another(r, subject, shown)
	if !ok {
		used(shown.Reference)
		return response, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxDrain)) // if it fails the connection is closed
	_ = response.Body.Close()                                           // it was read
	used(again.Reference)
	return t.send(r, body, again)
}

// another is a credential that differs from the one that was refused, and the body once more.
func (t *Transport) another(r *http.Request, s Subject, refused Credential) (c Credential, body io.ReadCloser, ok bool) {
	t.Source.Refused(s, refused)
	c, err := t.Source.Get(r.Context(), s)
	if err != nil || c.Value == refused.Value {
		return Credential{}, nil, false
	}
	if r.Body == nil || r.Body == http.NoBody {
		return c, r.Body, true
	}
	if r.GetBody == nil {
		return Credential{}, nil, false
	}
	body, err = r.GetBody()
	return c, body, err == nil
}

func (t *Transport) send(r *http.Request, body io.ReadCloser, c Credential) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Body = body
	if t.Header != "" {
		r.Header.Set(t.Header, c.Value.Reveal())
	} else {
		r.Header.Set("Authorization", "Bearer "+c.Value.Reveal())
	}
	return t.Base.RoundTrip(r)
}

// unsent closes the body of a request that is not sent, as a RoundTripper must.
func unsent(r *http.Request, err error) error {
	if r.Body != nil {
		err = errors.Join(err, r.Body.Close())
	}
	return err
}
