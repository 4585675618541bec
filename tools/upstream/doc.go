// Package upstream puts MCP servers behind the broker: child processes over stdio
// ([NewStdio]) and servers over Streamable HTTP, or the HTTP with server-sent events before it ([NewHTTP]), of every protocol
// revision that mcp-go speaks.
//
// All of MCP that a server declares is offered: its tools, and as operations beside
// them resources, prompts, completion and subscriptions. A server may ask whoever
// called it something in the middle of a call. One of the old revisions asks over HTTP on the
// stream of that call; over stdio nothing says which call it is about, and only the caller
// of the only call that runs is asked.
//
// A tool that can, or must, be called as a task is (MCP 2025-11-25), and a server of 2026-07-28 may make a
// task of any call (extension io.modelcontextprotocol/tasks): the broker waits for its end, puts its questions
// to the caller, and cancels it when the call ends sooner. The connection may break meanwhile. Over HTTP the server may be away
// for a while too, and the broker be started anew ([tools.Follower]): it asks on in the session that the task was made in, and in
// a new one if the server has ended that. A server over stdio dies with its tasks.
//
// Definitions, arguments and results are forwarded raw; what a server sends is never
// decoded and encoded again. Of a caller nothing is forwarded but the arguments and the
// trace: no token, and no _meta of its own. A server declares what it likes, but it
// can make nobody wait beyond the call's context, nor send more than a bounded answer.
package upstream
