// Package calls folds the events of a call, in the order of its log, into the
// call's state. It is the one reading of the protocol: the broker decides by it
// what is pending, the verifier what is wrong, the history what to show.
//
//	intent(allow) ──────────────────────────► result | failed | unknown | cancelled
//	intent(hold) ─► approval… ─► released ──► result | failed | unknown | cancelled
//	      └────────────┴──► denied | expired | cancelled
//	denied (with its request): refused before it was an intent
//	unknown ─► reconciled
//
// Replicas race, and the order of the log decides: the first release and the
// first closing event count; later ones change nothing, and are not a violation.
// What no honest broker can have written is a [Violation].
package calls
