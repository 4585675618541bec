// Package pulsar runs a real Apache Pulsar on this machine, for tests and
// demonstrations: the official distribution, fetched with Maven, on loopback.
//
// It authenticates by token and by client certificate and authorizes every access,
// as a cluster that is worth its name does. [Keys] makes what clients need: tokens
// for any role, certificates, and those of [Superuser]. What Deed relies on is on:
// fsync before an acknowledgement, deduplication, message indexes; and topics are
// never deleted for being idle.
package pulsar
