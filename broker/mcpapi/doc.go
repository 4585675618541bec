// Package mcpapi is the face of the broker to agents: the Model Context Protocol
// over Streamable HTTP, at /mcp (every tool, as upstream__tool) and at
// /mcp/{upstream} (one upstream's tools, by their own names).
//
// mcp-go speaks the protocol: revisions, the handshake, discovery, sessions, streams
// and notifications of change. What surrounds it here is what it leaves to its
// user:
//
//   - Nothing is read before the caller is authenticated. Requests of foreign web
//     pages are refused, and bodies are bounded.
//   - A body is decoded once, strictly: a member that is named twice, or that differs
//     from one of the protocol's only in case, is refused rather than guessed at, and
//     so are headers that say other than the body.
//   - A session belongs to the identity and the path that opened it, and only a
//     session can cancel its own calls.
//   - tools/list and tools/call are answered here, because they carry the bytes of
//     others, which must arrive as they were sent: definitions keep every schema
//     keyword, results every member. An answer follows the notifications of its call.
//
// The broker behind it decides and records everything; even a call of a tool
// that does not exist reaches it, so that the refusal is on record.
package mcpapi
