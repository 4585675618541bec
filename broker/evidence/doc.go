// Package evidence makes what an auditor reads beside the records of an evidence pack:
// the figures of the period, the policies that were in force, an access review, and
// which of it answers which control of a framework. None of this proves anything: the
// records do, and each figure can be counted again from them.
package evidence
