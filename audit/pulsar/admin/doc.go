// Package admin observes and changes a Pulsar cluster by its admin API, as package
// topics wants it. It is the one place that speaks that API.
package admin
