// Package verify checks a history offline: it needs the log's bytes and a public
// key, and trusts neither the broker nor whoever keeps the log.
//
// [Verify] recomputes each log's Merkle tree from the stored bytes and compares it
// with every signed checkpoint, follows the keys through their rotations, folds
// every call by the protocol (package calls), and recomputes the commitment of
// every payload that is there. What no honest broker can have written is a
// [Finding] that names its record; what an honest one may leave behind (records
// not yet sealed, calls that still go on, erased payloads) is counted.
//
// The log is read once, in order. Memory grows with open calls, by 8 bytes a
// record and 8 a call, and by 48 bytes a checkpoint. A second reading follows only
// where something looks doubled, or belongs to a call that closed long before.
//
// Where retention has removed the oldest records of a log ([Trimmed]), the first
// checkpoint that is not older proves what comes after it. Between the two there may be
// records that are there and not proved, and calls that are cut; the report says so.
//
// A log that retention has emptied says nothing of who did: the reviewer has to say how long
// records are kept (Options.Retention), or it is a finding.
//
// The embedded log keeps the hashes of what retention removes, and an event that says so
// ([audit.RecordsRemoved]): there every checkpoint is still compared, and what is missing
// beyond the event is a finding. Package archive joins archives of it to what is left.
//
// The checkpoints' own log is not sealed: that one of them was removed shows as a
// gap or as records that are not sealed, and that the newest were removed together
// with what they seal shows only to who kept one elsewhere ([Options.Kept]). That the
// log's own key signed a second history shows to who asks for what witnesses have signed
// ([Options.Witnesses]).
package verify
