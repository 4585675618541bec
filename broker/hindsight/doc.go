// Package hindsight decides past calls again: what a draft of the policies would
// have done to them, what least a set of policies has to permit, and who used of what
// is granted.
//
// It reads a history, from a data directory or an evidence pack, and asks a
// [policy.Set] about every call with the identity, the arguments, the time and the
// approvals of then. Nothing runs and nothing is written.
package hindsight
