// Package console is where people watch what agents do and decide on held calls: a
// page of plain ES modules, embedded as it was written, and the login behind it.
//
// The page talks to the broker's JSON API and its stream, and to nothing else: the
// Content-Security-Policy lets it load and reach only its own origin, run only its
// own files, and make no markup of strings. Nothing that an agent or a tool wrote
// is ever more than text.
//
// A call's page proves what it shows: the browser itself hashes the events as they are on
// the page, follows their paths to the root of the last checkpoint, and checks that with the
// key that it trusts, the first that it met or one that a person gave it (assets/proof.js,
// assets/trust.js). It hashes arguments and answer as they are shown, each with its salt, and
// compares that with what the events commit to (assets/views/payloads.js). It is the reader's check of the store and of other replicas; who does not
// trust the broker that serves the page runs deed verify.
//
// Where a person wants it, a service worker shows what the broker pushes (package
// broker/notify says what), and opens the call in the page; without push the page itself
// tells, while it is open somewhere.
//
// People log in by authorization code with PKCE at one of the configured issuers
// (OpenID Connect Core section 3.1, RFC 7636, RFC 9207). The code is redeemed here:
// no token reaches the browser, and none is kept. What is kept is the identity that
// the token proved, in a bounded table in memory, under the digest of a random
// cookie, for as long as the token would have lived. [Console.Identity] resolves it.
// What is under way between the broker and the issuer is sealed into a cookie of its
// own, so that logins which nobody finishes cost nothing.
package console
