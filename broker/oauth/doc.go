// Package oauth makes the broker a client of upstreams that ask for OAuth, as the
// authorization specification of MCP has it (revisions 2025-11-25 and 2026-07-28).
//
// A server that answers 401 says where its metadata is (RFC 9728), that says which
// authorization server it trusts, and the metadata of that (RFC 8414, OpenID Connect
// Discovery) how to get a token. A [Client] follows that, and identifies the broker by what
// was registered beforehand, by a Client ID Metadata Document, or by registering it
// (RFC 7591). It gets tokens for the upstream's own resource (RFC 8707) by the authorization
// code flow with PKCE, to which a person has to consent once ([Client.Login]), or by client
// credentials.
//
// # What is kept
//
// Consent, refresh token and registration are in one file an upstream ([Store]), which its
// owner alone can read. It is replaced as a whole, and a new refresh token is in it before
// anything is done with what came along, so that a broker that is killed finds a good one.
// Several processes may use the file: a broker that runs takes up a login that was made
// beside it. Renewals are done one at a time, whoever asks.
//
// # What a server can make the broker do
//
// Metadata are a stranger's word. They lead to the upstream's own origin, to an issuer that
// the operator has named, and beside these only over https to public addresses; their
// size and time are bounded, and redirects are not followed. Metadata of a resource that is
// not the upstream, or of an issuer that is not the one that was asked for, are refused, and
// so is an authorization server that does not know PKCE with S256. A token is sent to the
// upstream that it was gotten for and to nobody else, and the caller's own token nowhere.
package oauth
