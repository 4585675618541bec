// The shapes that the modules share, as the API sends them. Types only.

/**
 * @typedef {{issuer: string, principal: string, chain: string[], roles: string[], person: boolean, expires: string}} Viewer
 * @typedef {'metadata'|'arguments'|'results'} Tier how much of a call somebody reads: each has those before it
 * @typedef {{by: string, at: string, reason?: string, grant?: string}} Vote
 * @typedef {{by: string, at: string, reason?: string, digest?: string}} Edit
 * @typedef {{parts: {text: string, field?: string}[], template: string, digest: string}} Sentence
 * @typedef {{policy: string, effect: string, link?: string, reason?: string}} Reason
 * @typedef {import('./json.js').Exact} Exact
 * @typedef {{read_only?: boolean, destructive?: boolean, idempotent?: boolean, open_world?: boolean}} Annotations
 * @typedef {{days: number, approved: number, denied: number, expired: number, cancelled: number, open: number}} Precedents
 *
 * A call, as a list of the API or the fold over its events gives it.
 * @typedef {object} Call
 * @property {string} call_id
 * @property {string} tool
 * @property {string} domain
 * @property {string} principal
 * @property {string} actor
 * @property {string[]} chain who acts, the current actor first
 * @property {'running'|'held'|'released'|'closed'} state
 * @property {string} [outcome] result, failed, denied, expired, cancelled or unknown
 * @property {string} [code]
 * @property {string} [reason]
 * @property {string} [by] who denied or cancelled it
 * @property {string} opened
 * @property {string} [closed]
 * @property {number} [duration_ms]
 * @property {string[]} policies
 * @property {string} [effect]
 * @property {string[]} approvers
 * @property {Vote[]} votes for the arguments as they are now
 * @property {Edit[]} [edits] of the arguments
 * @property {string} [expires]
 * @property {string} [trace]
 * @property {string} [session] of the person at the identity provider
 *
 * A call that waits for people.
 * @typedef {Call & {digest: string, definition: string, arguments?: Exact, arguments_erased: boolean,
 *   asked?: Exact, sentence?: Sentence, justification?: string, annotations?: Annotations, precedents?: Precedents,
 *   quorum?: {voters: string[], needed: number}, alike?: string,
 *   reasons: Reason[], may_vote: boolean, why_not?: string, dry_run?: boolean, may_read?: Tier, withheld?: {arguments?: string, output?: string}, step_up?: string, client?: string}} HeldCall
 *
 * What a dry run of it told.
 * @typedef {{call_id: string, tool: string, arguments: Exact, text: string, truncated: boolean, failed: boolean, against?: string}} Forecast
 *
 * Everything about a call.
 * @typedef {HeldCall & {output?: Exact, erased: {arguments: boolean, output: boolean},
 *   shown?: {by: string, template: string, text?: string}[],
 *   on_record?: Partial<Record<'arguments'|'asked'|'output'|'justification', {salt: string, body?: string}>>,
 *   events: {position: string, cursor: string, event: Exact}[],
 *   reconciled?: {happened: boolean, by: string, note?: string}}} CallDetail
 *
 * @typedef {{field: string, equals?: Exact, at_most?: string, at_least?: string}} Condition
 * @typedef {{id: string, call_id: string, tool: string, domain: string, principal: string, chain: string[], where: Condition[], by: string,
 *   made: string, until: string, uses: number, left: number, used_by: string[], ended_by?: string, reason?: string}} Grant
 * @typedef {{agent: string, first: string, last: string, calls: number, denied: number, held: number, principals: string[], tools: string[],
 *   owner?: string, purpose?: string}} Agent
 * @typedef {{id: string, kind: string, value: string, agents: string[], issuer: string, reason: string, by: string, via: string, since: string, until?: string}} Revocation
 * @typedef {{since: string, alike: number, covered: number, calls: Call[]}} GrantPreview
 *
 * @typedef {{name: string, upstream: string, domain: string, title: string, description: string, digest: string, finding: string,
 *   annotations: Annotations, input_schema?: Exact, visible: boolean, policies: string[]}} Tool
 * @typedef {{upstream: string, domain: string, breaker: 'closed'|'half-open'|'open', health: string, since: string, restarts: number,
 *   stopped?: string, stopped_at?: string, tools: number, quarantined: number, notes?: string[]}} Upstream
 * @typedef {{tool: string, digest: string, finding?: string, definition: Exact, reviewed?: Exact, previous?: string}} Definition
 *
 * @typedef {{calls: number, held: number, approved: number, results: number, failed: number, denied: number, expired: number, cancelled: number, unknown: number}} Counts
 * @typedef {object} Overview
 * @property {string} window
 * @property {string} since
 * @property {string} until
 * @property {number} step_s
 * @property {Counts} total
 * @property {(Counts & {at: string})[]} series
 * @property {{decided: number, p50_ms: number, p95_ms: number}} decisions
 * @property {{held: number, running: number, next?: string}} open
 * @property {{behind_records: number, behind_ms: number, newest?: string, spooled: number, sealed_at?: string,
 *   trees: {log: string, records: number, sealed: number, waits?: string}[], warnings: {name: string, detail?: string}[]}} log
 *
 * @typedef {{severity: string, file?: string, line?: number, policy?: string, message: string, hint?: string, tools: string[]}} Finding
 * @typedef {{policy_set: string, files: {name: string, text: string}[], findings: Finding[],
 *   policies: {id: string, effect: string, file: string, line: number, reason?: string, approvers: string[], expires_s?: number, text: string}[]}} Policy
 * @typedef {{effect?: string, text?: string, reasons: Reason[], errors: string[], approvers: string[], needed?: number, findings: Finding[]}} Verdict
 * @typedef {{name: string, calls: number}} Tally
 * @typedef {{ok: boolean, findings: Finding[], since?: string, until?: string, calls: number, same: number, skipped: Tally[],
 *   changes: {from: string, to: string, calls: number, policies: Tally[], tools: Tally[],
 *     examples: {call_id: string, opened: string, tool: string, principal: string, agents: string[]}[]}[]}} Hindsight
 *
 * @typedef {{position: string, cursor: string, event: any}} StreamRecord
 *
 * How the broker's replica is: what the page shows may be old.
 * @typedef {{replica: string, behind_records: number, behind_seconds: number, log_available: boolean}} Replica
 *
 * How the stream is: live, catching up with what was missed, or not connected.
 * @typedef {{status: 'connecting'|'catching up'|'live'|'waiting'|'ended', since: number, retryAt?: number}} Link
 */

export {};
