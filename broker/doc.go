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
// # Replicas
//
// Several brokers can share a log that is an [audit.Fencer]. Each follows all of it, so
// that a held call can be decided, awaited, repeated and withdrawn at any of them.
// Replicas race, and the order of the log decides: a held call is run by the replica
// whose release is the first; as a rule that is the one at which the vote was cast that
// lifts the hold, the others wait a moment before they try.
//
// A call that is not held belongs to the replica that wrote its intent, a released one
// to that which released it, and nobody else closes it while that one lives. When a
// replica dies, one other takes its place in the log, reads to the end, closes what the
// dead one was running as unknown, and gives the place back. A replica that is opened
// again under its name does the same with what it left.
//
// Why that is sound, by the contract of [audit.Fencer]. While the fence is held nothing
// of the dead one is stored (2), so that whoever has read to the end knows every closing
// event that it wrote: only open calls are closed. Of two that try, one holds the fence
// (2); the other, when its turn comes, reads the closing events of the first: each call
// is closed as unknown once. The dead one may only have slept. What it sends about these
// calls is not stored after that (3): its client is told that the outcome is unknown, as
// the log says, and it stops. So is a holder that slept (4). What it may have acted on is
// what it had an acknowledgement for before it slept: an intent whose acknowledgement is
// older than [Config].AckWait and a release that is older than 25 s are not run, so that
// only a sleep between that look and the act itself remains, for which unknown is the
// right word: the tool may have acted, or still act. Nothing here rests on a clock but
// that look.
//
// # Repeats
//
// A request means an earlier call of the same caller (the principal through the same
// agents) of the same tool, and gets its outcome,
//
//   - by its idempotency key, for a day after the call's end and beside the last 10,000 of
//     the caller, however the call went on: held, running, closed. With other arguments it is
//     refused, on record. An end that says that nothing was done (cancelled, expired, never
//     sent, reconciled as not happened) frees the key; a person's denial does not;
//   - by equal arguments within [Once].Within of its making, where that is configured;
//   - by equal arguments while it is held, and within [SameCallFor] of its end as long as
//     nobody was given the outcome.
//
// All of that is a fold over the log, and survives a restart. At one replica it is exact:
// of requests at the same time one is the call. So it is for keys of calls that are not
// held, whichever replicas they reach. Each replica writes its intent, then reads to the end of
// the log, then looks for others under the key: of two, one at least finds the other's
// intent. The one with the greater call id gives way at once; the other waits until that is
// closed, or gives way too. For the other two rules, and for held calls, a request that reaches a
// replica which has read the first one's intent is that call, and one that comes
// before is a call of its own, which people decide on its own. Await, by the call's id, gives
// an outcome as often as it is asked for, at any replica, for a day.
//
// # Effects
//
// A call whose outcome is unknown may have acted. Until a person has reconciled it every call
// of the same tool for the same principal with the same arguments is refused, on record,
// through whichever agent; one that was held meanwhile is cancelled. Tools that say that they
// are read-only or idempotent are not concerned. If the arguments of the unknown call have
// been erased, any of the tool might be the same, and is refused.
//
// # Tasks of upstreams
//
// A call that its upstream works on as a task is followed over a restart, where the upstream keeps its tasks: how it is
// found stands in [Config].Tasks before anything else is asked about it. A broker that stops leaves the task alone,
// and the call open; the next one, after a crash too, asks what came of it and records that. It never sends the call again.
// Until it ends the same effect is barred, and the call can be awaited by its id. If the upstream does not know the
// task any more, or has to be shown the caller's own token, which is kept nowhere, the outcome is unknown. Among replicas another one closes the call after [Config].Silence, as unknown; only a
// replica that is back before that follows it.
//
// # What is not on record
//
// Fields that a domain redacts, and secrets that are found, are replaced by marks before a
// call's arguments and answer are recorded. The intent commits to the payload as it is
// recorded, and apart from that, under a salt that is kept nowhere, to the exact arguments; the
// call digest, which approvals bind to, is over both. The exact arguments of a held call are in
// the memory of the replica that took it and nowhere else: it alone can release the call, which
// ends unrun if that replica is restarted or gone. Nobody edits what they do not see. Who waits
// for the answer at that replica gets it as it was; who asks later gets what is on record.
//
// The packages below are its edges: broker/mcpapi speaks MCP to agents,
// broker/httpapi and broker/live speak to people, broker/policy decides.
package broker
