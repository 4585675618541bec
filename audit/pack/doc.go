// Package pack makes one file that proves a history, and reads it: an evidence pack
// that an auditor verifies anywhere, with a public key and nothing else.
//
// A pack is a ZIP archive. [Write] copies the sealed records of a period from a
// history, byte for byte, with their payloads as far as these may be handed on:
//
//	README.md                      what this is, and how to verify it
//	verify.py                      verifies it without Deed: Python alone
//	manifest.json                  [Manifest]: period, logs, keys
//	logs/payments/calls.ndjson     a record a line: exactly its stored bytes, the Merkle leaf
//	payloads/payments/calls.ndjson arguments and results, by the index of their record
//	logs/deed/control.ndjson       keys, policies, tools: always from the beginning
//	logs/deed/checkpoints.ndjson   the signed checkpoints that cover all of this
//	…                              whatever else the auditor is to read
//
// A log of which a period is taken begins with the roots of the complete subtrees
// before it, so that the tree of its records still comes to the signed root. Nothing
// in a pack is unsealed, and a call that was open when the period began is there from
// its intent on.
//
// [Open] reads a pack as a [verify.Source], in one pass and in constant memory.
// [OpenLines] does the same for events that were exported one a line.
package pack
