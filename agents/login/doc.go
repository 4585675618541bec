// Package login is the client side of OAuth for people at a terminal and for
// agents: it gets tokens from a provider and keeps them between commands.
//
// A [Client] gets a person's token by the authorization code flow with PKCE and a
// redirect to loopback (RFC 8252, RFC 7636, RFC 9207), an agent's own by client
// credentials, and an agent's token for a person by token exchange (RFC 8693). A
// [Store] keeps what a person signed in with, one session a broker.
package login
