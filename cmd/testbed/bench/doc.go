// Package bench compares, in one run on one machine, what a call costs when a tool
// is served
//
//   - direct: by mcp-go over Streamable HTTP;
//   - proxy: by a stdio server behind a bare forwarding proxy made of mcp-go, with
//     no authentication, no policy and no log;
//   - deed: by the same stdio server behind Deed, with a signed token, a policy and
//     the durable records of every call.
//
// Each subject is a process of its own. All of them stay up for the whole run and
// are measured in turns, round after round, so that whatever else the machine does
// hits all alike. The load comes from this process, over raw connections that speak
// both generations of the protocol: sessions (2025-11-25) and stateless
// (2026-07-28). CPU time is the subject's process alone, without its stdio child.
//
// With -pulsar it compares Deed on Pulsar with Deed on its embedded log, and with the
// rate at which Pulsar alone takes messages one by one, with Pulsar's journal synced and
// not. A call is two durable records: half that rate is what there is to reach.
//
// With -kinds it calls an upstream of each kind directly and through Deed, in turns: a process over
// stdio, servers over Streamable HTTP and the HTTP with server-sent events before it, a plain HTTP service with
// an OpenAPI document, and a tool that is built in, beside mcp-go serving the same file.
//
// With -viewers it has so many people watch the live stream from another process while
// calls come at a fixed rate, and compares what a call costs with that without them, in turns.
//
// With -search it makes a history of so many calls (-calls, a million if one has half an hour): of many people
// through many agents, of several tools with words as in notes, some refused, some failed, some held and decided.
// Then it searches that over the API in every way that there is, each time by something else, and verifies it.
// With -keep the history stays, and with -reuse it is searched again.
//
// It reads /proc and so runs on Linux only.
package bench
