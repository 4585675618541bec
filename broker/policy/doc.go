// Package policy decides: may this call run, may this person act? It is a Cedar
// policy decision point that knows nothing of protocols.
//
// # One idea
//
// A hold is a denial that approvals would lift. [Set.Decide] evaluates the
// policies with context.approvals as they are; if that denies, it evaluates them
// again as if everyone had approved; if that allows, the call is held, and the
// policies that made the difference name the approvers, the time limit and the
// reason:
//
//	permit (principal in Role::"support", action in Action::"payments", resource);
//
//	@id("big-refunds-need-two") @approvers("lead") @expires("15m") @reason("Refunds over 100 need two leads.")
//	forbid (principal, action == Action::"payments.refund", resource)
//	when { context.input.amount > 100 } unless { context.approvals.count >= 2 };
//
//	@id("four-eyes")
//	forbid (principal, action == Action::"approve", resource) when { resource.principal == principal };
//
// Every link of a delegation chain is asked and has to be allowed. A policy that
// errs denies, while Cedar by itself would skip it. A decision keeps every policy
// that determined it.
//
// A forbid of what people do themselves may ask for a stronger login, and name it: who is
// refused by it alone is told how to log in, by the broker in the words of RFC 9470.
//
//	@id("strong-login") @acr("gold") @reason("Deciding needs the second factor.")
//	forbid (principal, action == Action::"approve", resource)
//	unless { context.token has acr && context.token.acr == "gold" };
//
// # What policies see
//
// A tool is the action upstream.tool, in the group upstream, in the group call.
// This schema, with the type of input taken from the tool's own, is what policies
// are type-checked against ([Set.Schema] prints the real one):
//
//	entity Role, Domain;
//	entity User in [Role] { id: String };
//	entity Agent in [Role] { id: String, registered: Bool };
//	entity Upstream in [Domain];
//
//	action call;
//	action payments in [call];
//	action "payments.refund" in [payments] appliesTo {
//	  principal: [User, Agent], resource: [Upstream],
//	  context: {
//	    input: { amount: Long, memo?: String },        // the arguments
//	    text: String,                                  // the same as canonical JSON
//	    approvals: { count: Long, roles: Set<String> },
//	    chain: { user?: User, actor?: Agent, agents: Set<Agent>, depth: Long },
//	    tool: { name: String, readOnly: Bool, destructive: Bool, idempotent: Bool, openWorld: Bool },
//	    token: { scopes: Set<String>, acr?: String, expires: datetime },
//	    now: datetime,
//	  }
//	};
//
// What MCP has beside tools is an action of the same group, named by what it does:
// payments.read_resource and payments.subscribe_resource with the input uri, payments.get_prompt
// with name and arguments, payments.complete. An upstream's own tool of such a name takes its place.
//
// An agent on its own is a chain without a user. What a tool's annotations leave
// out is the worst that MCP lets one assume.
//
// People act on other resources, and the context of that is token and now; of read also
// tier, how much is read: Tier::"metadata", who called what and what came of it;
// Tier::"arguments", also what a call was made with; Tier::"results", also what it
// answered. Each has those before it. A policy on read that does not look at the tier is
// about all three: what a plain permit gives, a forbid takes back by tier.
//
//	@id("support-reads-metadata")
//	forbid (principal in Role::"support", action == Action::"read", resource)
//	unless { context.tier == Tier::"metadata" };
//
// The resources are
//
//	entity Call in [Upstream, Domain] {
//	  principal: User,             // User::"" if an agent acted on its own: that is nobody
//	  actor?: Agent, agents: Set<Agent>, tool: String, approvers: Set<String>
//	};
//	entity Tool in [Upstream] { name: String };
//	action approve appliesTo { principal: [User], resource: [Call], … };
//	action grant   appliesTo { principal: [User], resource: [Call], … };
//	action erase   appliesTo { principal: [User], resource: [Call], … };
//	action read    appliesTo { principal: [User], resource: [Call, Agent, Tool, Domain], … };
//	action revoke  appliesTo { principal: [User], resource: [Agent, User, Domain], … };
//	action review  appliesTo { principal: [User], resource: [Tool, Call], … };
//	action "legal-hold" appliesTo { principal: [User], resource: [Domain], … };
//
// The principal of a call keeps its roles; of its agents only the ids are known there.
//
// # Arguments
//
// JSON Schema becomes Cedar so: string and enumerations of strings String,
// integer Long, number decimal, boolean Bool, array Set, object with properties a
// record whose attributes are optional unless required. Unions, null, free-form
// objects, tuples and recursive types have no type: policies cannot name them,
// and match context.text instead. Only the arguments that some policy of the tool
// reads are converted at all; one of these that Cedar cannot hold exactly is an
// [*ArgumentError], never a rounding.
//
// # Annotations
//
// @recent declares counters over the log ([Counter]), which policies see as
// context.recent: bounds over time, and "only after".
//
//	@id("daily-limit") @recent("spent: sum amount of payments.refund by principal in 24h")
//	forbid (principal, action == Action::"payments.refund", resource)
//	when { context.recent.spent + context.input.amount > 500 };
//
// One broker counts exactly, of calls at the same time and across restarts: what it has
// permitted counts from that moment. Of what other replicas permit it counts what it has
// read of them, which follows their writing by milliseconds as a rule. Replicas can so exceed
// a bound together, by no more than the others permit in that time. Each decision is
// recorded with the values that it was made by, and how far the log was read for them: deed
// verify counts again up to there, names a decision that was made by less, and says of how many
// something was on its way from other replicas, and how much.
//
// @id names a policy (else it is file#n). @reason is for whoever the policy
// stops. @approvers and @expires belong to policies that look at
// context.approvals, be they forbid or permit. Anything else is refused.
package policy
