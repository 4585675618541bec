// Package migrate moves a history from one log to another: from the embedded log to
// Pulsar, where more brokers share it.
//
// Records are not written again. The new log says of each who sent it, in which order and
// when, and could only say so of the migration, not of the broker that wrote it; and a
// record's place is part of its proof. So the old log ends with an event that says so, is
// sealed, and becomes an archive (package archive) that verifies by itself. The new log
// begins with the old one's last checkpoints, signed by the key that both have, and with
// what of the old control log is still in force: revocations, legal holds, and the tools
// that were reviewed, each under its own id.
//
// [Run] can be killed anywhere and run again: it finds what is done, and does the rest.
package migrate
