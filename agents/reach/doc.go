// Package reach is how an identity provider is reached, and the bounds on what its word
// can make the broker do.
//
// Providers say in their metadata where their endpoints are. Whoever can change that
// document could point the broker at anything that the broker's machine can reach. So a
// [Peer] goes to the issuer's own origin, which the operator has configured, wherever
// that is; to the hosts that the operator has allowed beside it, over https and at public
// addresses only, whatever their names resolve to; and nowhere else. Redirects are not
// followed, answers are bounded in size and time.
package reach
