// Package index is the history that people search: a second SQLite file, folded
// from any [audit.Log] behind the calls' backs, with one row for each call, the
// place of each of its events, and full text over what was asked, by whom, and why.
//
// Nothing that decides or proves reads it. It is disposable: a file of another
// schema, a damaged one, or one that was folded from another log is deleted and
// built again from the log's beginning, and the logger is told.
//
// [Index.Run] follows the log and commits in large batches, cursor included, so
// that whatever is committed continues exactly where it stopped. It reads the log
// like any other follower and takes no lock that an append needs.
//
// Every search names the domains that its viewer may read; there is no search
// without. What a viewer types is never search syntax.
package index
