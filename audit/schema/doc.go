// Package schema describes what the log holds for programs in other languages: a JSON
// Schema (2020-12) for each topic, with a definition for each type of event in it, and
// an AsyncAPI 3 document of the topics on Pulsar.
//
// They are made from the Go types of package audit and their comments, by
//
//	go test ./audit/schema -update
//
// and the tests fail when they are not up to date. A schema says what Deed writes: an
// attribute that it doesn't know is allowed, since a later version may add some.
package schema
