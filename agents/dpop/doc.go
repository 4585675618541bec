// Package dpop checks proofs of possession (RFC 9449): that whoever presents a token has
// the private key that the token is bound to.
//
// A proof is a JWS that a client signs for one request. A [Checker] accepts it if its
// typ, algorithm and signature are right, its key is the one that the token is bound to
// (cnf.jkt), it names the request's method and address and the token's digest, was made
// just now, and was not seen before. What was seen is kept for as long as a proof is
// young enough, in bounded memory: a key that floods it is refused alone.
//
// # Replicas and nonces
//
// What was seen is known to one Checker. Where several replicas serve one address, or one
// was started again, whoever copies a proof off the wire can use it once more at each of them
// within the minute for which it is young.
//
// A nonce closes that (RFC 9449 section 9). Where one is asked for, a proof must carry the
// nonce that the Checker gave: the time, under a key that the Checker made for itself and that
// leaves its memory never. A proof that one replica accepted is then useless at all others,
// and after a restart, since the nonce in it is none of theirs; at the replica itself it was
// seen. So each replica's own memory is enough, and nothing has to be told to the others on
// the way of a call. It also ends proofs that a client was made to sign in advance.
//
// The price: a client's first request to a replica, and one every few minutes, is answered by
// use_dpop_nonce and made again. Behind a load balancer clients must come to the same
// replica for a while (by address, or by a hash of the Authorization header); one that
// goes round would send each retry to another replica, which asks anew.
package dpop
