// Package servers holds a configuration and a policy that put Deed in front of MCP
// servers, for people to start from. The tests run them as they are, with another
// place for the files: the official filesystem and everything servers, called through
// a real `deed serve` by the official Python and TypeScript SDKs.
package servers
