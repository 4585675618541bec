// Package audittest is what every [audit.Log] must pass, and what the tests of
// those who use one need: valid events, and a log that fails on demand.
package audittest
