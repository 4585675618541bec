// Package pulsar holds what it takes to run Deed on Apache Pulsar: a cluster for one
// machine (compose.yaml) and for Kubernetes (values.yaml), Deed's configuration, and a
// reader in Python with the official client. The tests run configuration and reader as
// they are against a real Pulsar, and hold the clusters' settings against its own.
package pulsar
