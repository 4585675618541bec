// Package grants is the one reading of grants: approvals in advance, each of so many
// calls like one that a person has seen. A [Book] is a fold over the control log;
// whoever reads that log reads the same book, however many replicas use it at once:
// a use counts by its place in the log.
package grants
