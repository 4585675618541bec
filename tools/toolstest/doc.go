// Package toolstest checks that an upstream keeps the contract of
// [tools.Upstream] ([Run]), and has an in-process upstream that can be made to
// fail in every way that a real one can ([Fake]).
package toolstest
