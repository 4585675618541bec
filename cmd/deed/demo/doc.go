// Package demo is `deed demo`: a broker, a demo issuer and sample upstreams that
// start with nothing set up, and an agent that shows what a broker is for.
//
// It stands on the same server as `deed serve`, with a deed.yaml and a policy that it
// writes to its data directory, so that everything it shows can be looked at, changed
// and tried again.
package demo
