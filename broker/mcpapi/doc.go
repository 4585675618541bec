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
//
//   - A body is decoded once, strictly: a member that is named twice, or that differs
//     from one of the protocol's only in case, is refused rather than guessed at, and
//     so are headers that say other than the body.
//
//   - A session belongs to the identity and the path that opened it, and only a
//     session can cancel its own calls.
//
//   - tools/list and tools/call are answered here, because they carry the bytes of
//     others, which must arrive as they were sent: definitions keep every schema
//     keyword, results every member. An answer follows the notifications of its call.
//
//   - Resources, prompts, completion and subscriptions are actions beside an upstream's
//     tools (read_resource, get_prompt, complete, subscribe_resource): decided,
//     recorded and forwarded like calls of these. At /mcp a resource's URI begins with the
//     upstream's name and a plus sign, and prompts are named like tools.
//
//   - What an upstream asks in the middle of a call (elicitation, sampling, roots)
//     reaches who called: as a request on the call's stream in the revisions with sessions, by
//     several round trips since 2026-07-28, whatever the upstream itself speaks.
//
// # What a request can say to the broker
//
// Two members of a request's _meta are for the broker, and go no further:
// dev.deed/idempotency_key, under which a repeat is the same call, and
// dev.deed/justification, why the agent makes the call, in at most 1000 bytes. People who
// decide on a held call are shown it as the agent's own words, which nobody has verified.
//
// # Held calls
//
// A client learns of a held call in the best way that it understands:
//
//	client                               what it gets
//	2025-11-25, asking for a task        the task at once (input_required if its person can be shown the card by
//	                                     URL, on the stream of tasks/result; else working), its outcome by tasks/result
//	2026-07-28, extension tasks          the same, where the call is held or its tool takes tasks, its outcome by tasks/get
//	2026-07-28, elicitation by URL       input_required at once: the call's card in the console;
//	                                     sent again with the requestState it waits for the outcome
//	2026-07-28, elicitation by forms     the same as a form without fields, with the card's URL in the text
//	older, elicitation by URL            the card is shown while the call waits
//	with a progress token                progress, for as long as the request stays open
//	any                                  then a pending answer; deed__await, or the same call again, gives the outcome
//
// A task is a call, and its id the call's: it outlives sessions and restarts, is known at every replica,
// and is that of the same principal through the same agents alone, for at most a day. tasks/cancel
// cancels the call. What a tool asks in the middle of a task is asked on the stream of tasks/result, or
// given by tasks/get and answered by tasks/update, at the replica that runs the call and until that ends.
//
// The requestState is authenticated, and good only for the identity and the call that it was given to;
// of a held call it is good at every replica, and after a restart. What a tool asks in the middle of a
// call is waited for by the replica that runs it: an answer that reaches another one is refused,
// and told which it has to reach. With several replicas behind one name, route a client's
// requests to one of them.
//
// # Repeats
//
// A tools/call whose _meta has "dev.deed/idempotency_key", a string of 1 to 128 bytes, is made
// once, however often it is sent: a repeat by the same principal through the same agents gets
// the call that the key was first used for, be it held, running or over, and its result says
// "dev.deed/repeated": true. With other arguments it is refused. How long a key is remembered, and
// what frees it, is in the comment of package broker.
//
// The broker behind it decides and records everything; even a call of a tool
// that does not exist reaches it, so that the refusal is on record.
package mcpapi
