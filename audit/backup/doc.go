// Package backup copies the data of a broker with an embedded log while it runs, and
// puts a copy back. A backup is a directory:
//
//	backup.json           when it was made, of which records; written last
//	log.db                the log, between two commits
//	keys/checkpoints.pub  the verifier key of its checkpoints
//	keys/checkpoints.key  the key itself, if that was asked for, and its successor if there is one
//
// or one file with these, a tar compressed by Zstandard. The directory is a data
// directory as it is: it can be verified and read where it stands. Both [Make] and
// [Restore] verify the whole history in the copy before they say that it is there; one
// that was cut off leaves a directory whose name ends in .partial, and nothing else.
package backup
