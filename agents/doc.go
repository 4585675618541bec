// Package agents says who is calling: an [Identity] that a token proved, with the
// human on whose behalf the call is made and the whole chain of agents that act.
//
// Verifiers are in the packages below it: agents/oidc checks tokens of real
// providers, agents/demo is a small provider for trying things out.
package agents
