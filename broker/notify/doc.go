// Package notify tells people of calls that wait for them, and what became of these.
//
// It is a fold over the log with a cursor of its own in a file of its own: whatever was
// held while a broker was away is told when it is back, if it still waits. What is told
// goes by [Route]: of a domain and of the roles that a hold waits for, to channels, with
// quiet hours, and on to others in time before the hold expires.
//
// A [Message] is one sentence, a link to the call's card and a deadline. The sentence is
// that of the operator's template; without one it names the tool and nothing of the
// arguments. An argument that looks like a secret is left out, whatever does not show or
// reorders text is made visible, and nothing of it becomes a link. There is nothing to
// decide with in a message: deciding takes the approver's own login.
//
// # What is guaranteed
//
// Each message is sent at least once, and after it the follow-up that says how the call
// was decided, on the same channel and in the same thread. One that is sent is remembered
// before the next one goes out; a broker that is killed between the two sends it again,
// with the same id. A call that was decided before its message was due is not told at all.
//
// A channel takes so many messages in a time. What is due beyond that waits, and goes out
// as one digest. A message that a channel refuses for good, or cannot take for a quarter of an
// hour, is a dead letter: it is counted, kept in the file, and a warning of readiness for
// an hour.
//
// # Replicas
//
// Replicas that share a log fold the same records. The one that seals it sends: that is
// the source of the newest checkpoint in the log, so that it takes no more than reading
// to know it. When another takes its turn, it sends what became due in the last half
// minute before the last checkpoint of the one before it, and later: what was due earlier
// has been sent.
package notify
