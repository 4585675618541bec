// Package readers compares what says who may read a domain: the policies on `read`,
// the readers that deed.yaml names, and the permissions of a Pulsar cluster.
//
// Policies decide about one record at a time; the others about a domain as a whole. Two
// of them agree about somebody when either lets them read everything or neither does.
package readers
