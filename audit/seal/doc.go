// Package seal makes a log provable: it signs the size and root hash of every
// Merkle tree, and makes and checks the proofs that a reviewer needs.
//
// The leaf of a tree is a record's exact stored bytes, hashed as RFC 6962 section
// 2.1 says. A [Checkpoint] is a signed note in the form of C2SP tlog-checkpoint,
// under one Ed25519 key for all logs of a tenant; its origin line
// deed/{tenant}/{log}, such as deed/acme/payments/calls, tells which log it is of.
// A [Key] hands over to its successor by a [audit.Rotation] that it signs.
//
// Of several replicas that share a log one seals at a time ([Turn]); the others read its
// checkpoints. Where retention removes old records a checkpoint also carries the
// frontier of its tree ([Frontier]), from which sealing and verifying go on without them.
//
// The [Sealer] appends a checkpoint for every log that has grown, and never signs
// a tree that does not extend the one it signed before.
package seal
