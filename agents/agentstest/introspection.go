package agentstest

import (
	"encoding/json"
	"net/http"
)

// IntrospectionSecret is what the client "deed" asks an [Issuer] with.
const IntrospectionSecret = "of-deed"

// Say has the issuer answer introspection of a token with these claims; nil is that it
// is not active, as any token is that nothing was said about.
func (i *Issuer) Say(token string, claims Claims) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.said == nil {
		i.said = map[string]Claims{}
	}
	i.said[token] = claims
}

// Introspections counts the requests to introspect so far.
func (i *Issuer) Introspections() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// introspect is called with mu held.
func (i *Issuer) introspect(w http.ResponseWriter, r *http.Request) {
	i.asked++
	id, secret, _ := r.BasicAuth()
	switch {
	case i.down:
		http.Error(w, "switched off", http.StatusServiceUnavailable)
		return
	case id != "deed" || secret != IntrospectionSecret:
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	answer := Claims{"active": false}
	if said := i.said[r.PostFormValue("token")]; said != nil {
		answer = said.With(Claims{"active": true})
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		i.tb.Errorf("agentstest: answer: %v", err)
	}
}
