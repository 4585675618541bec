// Package agentstest is an issuer for tests that signs whatever it is told to:
// forged, odd and broken tokens as well as good ones. It serves discovery and its
// key set, counts who asks for them, can be switched off, and can rotate and
// withdraw keys.
//
// [New] needs no socket: [Issuer.Client] reaches the issuer in-process, so that a
// test can run inside a testing/synctest bubble. [Start] serves on loopback.
package agentstest
