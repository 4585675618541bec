// The shapes that the modules share, as the API sends them. Types only.

/**
 * @typedef {{issuer: string, principal: string, chain: string[], roles: string[], person: boolean, expires: string}} Viewer
 * @typedef {{by: string, at: string, reason?: string, grant?: string}} Vote
 * @typedef {{by: string, at: string, reason?: string, digest?: string}} Edit
 * @typedef {{parts: {text: string, field?: string}[], template: string, digest: string}} Sentence
 * @typedef {{policy: string, effect: string, link?: string, reason?: string}} Reason
 * @typedef {import('./json.js').Exact} Exact
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
 *
 * A call that waits for people.
 * @typedef {Call & {digest: string, definition: string, arguments?: Exact, arguments_erased: boolean,
 *   asked?: Exact, sentence?: Sentence,
 *   reasons: Reason[], may_vote: boolean, why_not?: string, step_up?: string, client?: string}} HeldCall
 *
 * Everything about a call.
 * @typedef {HeldCall & {output?: Exact, erased: {arguments: boolean, output: boolean},
 *   events: {position: string, cursor: string, event: Exact}[],
 *   reconciled?: {happened: boolean, by: string, note?: string}}} CallDetail
 *
 * @typedef {{field: string, equals?: Exact, at_most?: string, at_least?: string}} Condition
 * @typedef {{id: string, call_id: string, tool: string, domain: string, principal: string, chain: string[], where: Condition[], by: string,
 *   made: string, until: string, uses: number, left: number, used_by: string[], ended_by?: string, reason?: string}} Grant
 * @typedef {{agent: string, first: string, last: string, calls: number, denied: number, held: number, principals: string[], tools: string[]}} Agent
 * @typedef {{id: string, kind: string, value: string, agents: string[], issuer: string, reason: string, by: string, via: string, since: string, until?: string}} Revocation
 * @typedef {{since: string, alike: number, covered: number, calls: Call[]}} GrantPreview
 *
 * @typedef {{position: string, cursor: string, event: any}} StreamRecord
 *
 * How the stream is: live, catching up with what was missed, or not connected.
 * @typedef {{status: 'connecting'|'catching up'|'live'|'waiting'|'ended', since: number, retryAt?: number}} Link
 */

export {};
