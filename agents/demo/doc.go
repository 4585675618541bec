// Package demo is a small OpenID Connect provider for trying Deed out: discovery,
// keys, the authorization code flow with PKCE, client credentials, token exchange
// with nested act (RFC 8693), introspection, revocation, access tokens as in RFC
// 9068.
//
// # Anyone is anyone here
//
// Whoever reaches it signs in as whom they like, with no password. So it is kept
// where only this machine reaches it: [Start] listens on a loopback address or not
// at all; a request from elsewhere, or for another Host (a page that rebinds its
// name), is refused; its URL must end in "/demo", so that iss says what every event
// is worth; its keys and secrets are made anew at each start. It is for `deed demo`
// and tests: nothing that serves may import it, or accept its URL beside a real
// issuer.
//
// # What it knows
//
// The people alice (support), bob (lead) and carol (auditor); the agents copilot,
// which acts for people, and sub-agent, which acts for people or for copilot; the
// people's clients deed-cli and deed-console. Which agent may act for whom is
// registered here, not told by may_act in the token: that claim can name only one.
//
// # Parameters of its own
//
// The token endpoint takes two that no real provider has, to show what becomes of
// tokens: demo_lifetime (whole seconds, 1 to 3600) and demo_expired=true, which
// grants a token that expired five minutes ago. An authorization request with
// prompt=none and login_hint=<name> skips the page.
package demo
