// Package oidc verifies bearer tokens of OpenID Connect providers: it implements
// [agents.Verifier] for any number of issuers.
//
// # What a token must be
//
// A token is a signed JWT access token (RFC 9068) of a configured issuer for
// exactly the configured audience, or for the part of it at which it is presented, in
// its lifetime, that says who is behind it.
// go-oidc finds the issuer and checks signature, iss and aud. It was written for
// ID tokens; what it leaves open is checked here: the type, iat, nbf and exp with
// their skews, the lifetime, sub, cnf, the act chain and its agreement with the
// client, duplicated JSON keys, base64 that has a second spelling.
//
// # Who is behind it
//
// The client is what the claims azp and client_id name (both must agree), or the
// issuer's own claim for it. Then:
//
//   - With act, the nested claims are the chain, the current actor first. If the
//     token names its client, that must be the current actor: by act.sub, or by
//     act.client_id or act.azp.
//   - Without act, a token from one of the issuer's PeopleClients is a person's
//     own, and any other client is itself the actor, by the name that Clients has
//     for it; if the token has may_act, that must be this client. A token that names
//     neither an actor nor a client is refused.
//   - If sub is the client, a service account of the client, or a configured agent,
//     then no person stands behind the token: the principal is empty and the chain
//     ends in that agent.
//
// # Bound and opaque tokens
//
// A token that is bound to a key (cnf.jkt) is accepted with a DPoP proof by that key
// only, see package dpop; an issuer or an agent may have it required. Other bindings
// are refused.
//
// An issuer with [Introspection] is asked whether a token is in force, at first and
// again when its word is older than Every, and says everything about tokens that are
// no JWTs. Its word is the same for all who ask at once, a refusal is remembered for
// some seconds, and unknown opaque tokens cause a bounded number of requests a second.
// If it does not answer then the token is refused as [agents.ProviderTrouble].
//
// # Keys
//
// [Verifier.Run] owns all traffic to the providers. It asks each for its keys when
// it starts, again every RefreshInterval, and when a token names an unknown key,
// but then never sooner than MinFetchInterval after the last time, so that forged
// tokens cannot be turned into requests. A key that the provider withdraws is
// trusted for one RefreshInterval longer at most, cached tokens included. If the
// provider is out of reach its keys are kept, up to MaxKeyAge. Where an issuer's word
// may send the broker is the matter of package reach.
package oidc
