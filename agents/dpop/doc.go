// Package dpop checks proofs of possession (RFC 9449): that whoever presents a token has
// the private key that the token is bound to.
//
// A proof is a JWS that a client signs for one request. A [Checker] accepts it if its
// typ, algorithm and signature are right, its key is the one that the token is bound to
// (cnf.jkt), it names the request's method and address and the token's digest, was made
// just now, and was not seen before. What was seen is kept for as long as a proof is
// young enough, in bounded memory: a key that floods it is refused alone.
package dpop
