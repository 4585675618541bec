// Package broker is the one place where agents, tools, policy and the log meet:
// the way of a call.
//
//	authenticate → resolve tool → authorise → record intent → (hold → approvals → re-authorise) → execute → record result
//
// A [Broker] takes calls ([Broker.Call]) and people's votes ([Broker.Vote]), and
// follows its own log: whatever is pending is a fold over what the log says, so
// that a restart, or another replica, continues where this one stopped. Nothing
// runs before the log has acknowledged its intent, and a held call runs only when
// its release has been read back as the first of its call.
//
// An approval counts while its voter could still cast it: when votes lift a hold the
// policies of that moment are asked about the call and about each approver. The first
// closing event of a call counts; a replica that may have released a call writes
// nothing that says it was not executed.
//
// The packages below are its edges: broker/mcpapi speaks MCP to agents,
// broker/httpapi and broker/live speak to people, broker/policy decides.
package broker
