// Package denylist holds who has been stopped: an agent, a person, one token, a
// login session, a delegation chain, or whatever a key has signed.
//
// An [Entry] names its target and, where it has one, its end. A [List] is a fold
// over somebody's log: entries are added and lifted in the order of that log, and
// adding one twice adds nothing. Asking it about an identity takes no lock while it
// is empty, and a few look-ups otherwise, however long it is.
//
// # Signals
//
// Entries do not care where they come from. People write them; so does the
// back-channel logout of an issuer (agents/oidc reads its token), and the
// introspection endpoint that calls a token inactive. A receiver of the Shared
// Signals Framework (OpenID SSF 1.0, CAEP 1.0) is one more source: it verifies a
// security event token and maps its event to one entry,
//
//	session-revoked      a Session of the subject's sid, else a Principal with IssuedBefore the event
//	token-claims-change  a Principal with IssuedBefore the event: old claims stop, new tokens pass
//	credential-change    the same
//	account-disabled     a Principal, until it is lifted (RISC 1.0)
//
// and hands it to whoever keeps the log, as the others do (broker.Broker.Signal).
package denylist
