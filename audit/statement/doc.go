// Package statement makes and checks the compact signed statement of who that travels
// with each event of a call: a transaction token in the sense of
// draft-ietf-oauth-transaction-tokens, a JWT of the type txntoken+jwt.
//
// It says for whom and through whom a call is made, of which tool, with arguments of
// which digest, and when. It is signed once, when the call is made, and every later
// event of the call repeats it; when a person edits the arguments of a held call, it is signed
// anew with theirs, and that is repeated from there on. Whoever reads the topic verifies
// it with a public key alone, without asking the broker. It says nothing of what came of
// the call.
//
// # Claims
//
//	iss, aud   deed://{tenant}: who signed it, and the trust domain in which it counts
//	iat, exp   when the call was made, and until when the statement may be acted on;
//	           as evidence it never expires
//	txn        the call id
//	sub        the person; the agent, when it acts on its own
//	act        who acts, the current actor first (RFC 8693 section 4.1)
//	req_wl     who made the request: the current actor, else the person
//	scope      the tool, upstream.tool
//	tctx       args: the salted commitment to the arguments, as in the event;
//	           asked, editor: those that were asked for, where a person has edited them, and who;
//	           idp: the issuer of the token that the caller showed;
//	           person: whether sub is a person, not an agent on its own
//
// # Keys
//
// A broker makes a key of its own at each start and every few days, keeps it in memory
// alone, and announces it in the control log before it signs with it, under a note
// that is signed by the key that seals the log. What a key has signed holds for as long as
// that is on record, whether or not anything still has the key. The keys of all replicas are published as
// a JWK set at /.well-known/jwks.json; reviewers take them from the log itself.
package statement
