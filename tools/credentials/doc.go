// Package credentials gets what the broker shows to an upstream to prove itself: a
// secret by reference (environment, file, Kubernetes projection, Vault or OpenBao), a
// token by client credentials, or one for the caller by token exchange (RFC 8693).
//
// A [Source] is asked for each request. It keeps what it got until shortly before that
// expires, notices a rotated file or a new version in the vault without a restart, and
// gets another when the upstream refuses one. The caller's own token never travels
// upstream: an exchange that gives it back unchanged is an error.
//
// A [Secret] prints as nothing: what may be said of a credential, in events and logs, is
// its [Reference]. Errors name references and HTTP statuses, and nothing that a token
// endpoint, a vault or a file said.
package credentials
