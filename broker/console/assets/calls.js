// What the events of a call come to: the fold that the broker itself makes, as far as
// the page shows it.

/** @typedef {import('./types.js').Call} Call */

const CALL_EVENT = /^dev\.deed\.call\.([a-z-]+)\.v1$/;
const OUTCOMES = new Set(['result', 'failed', 'denied', 'expired', 'cancelled', 'unknown']);
const RANK = { running: 1, held: 2, released: 3, closed: 4 };

/**
 * What an event is about: intent, approval, released, an outcome; empty for events of no call.
 * @param {{type: string}} event
 */
export function kindOf(event) {
  return CALL_EVENT.exec(event.type)?.[1] ?? '';
}

/**
 * A call after one more of its events. Events that change nothing, or come too late,
 * leave it as it is.
 * @param {Call|undefined} call
 * @param {any} event
 * @returns {Call|undefined}
 */
export function apply(call, event) {
  const kind = kindOf(event);
  const data = event.data ?? {};
  if (kind === 'intent') return merge(call, opened(event, data));
  if (OUTCOMES.has(kind)) return close(call ?? (data.request ? opened(event, data.request) : bare(event)), kind, event, data);
  if (kind === 'reconciled' || kind === 'vote-refused' || kind === '') return call;
  const known = call ?? bare(event);
  const latest = known.edits?.at(-1)?.digest;
  if (kind === 'approval' && latest && data.digest !== latest) return known; // of arguments that were changed since
  if (kind === 'approval') return { ...known, votes: addVote(known.votes, { by: data.by?.principal ?? '', at: event.time, reason: data.reason, grant: data.grant }) };
  if (kind === 'edited') { // its editor's approval is the only one that counts from here on
    const edit = { by: data.by?.principal ?? '', at: event.time, reason: data.reason, digest: data.digest };
    if (known.edits?.some((e) => e.digest === edit.digest)) return known;
    return { ...known, edits: [...(known.edits ?? []), edit], votes: [{ by: edit.by, at: edit.at, reason: edit.reason }] };
  }
  if (kind === 'released' && known.state !== 'closed') return { ...known, state: 'released' };
  return known;
}

/**
 * Two accounts of one call: the later state wins, and what only one of them knows stays.
 * @template {Call} T
 * @param {T|undefined} known
 * @param {T} news
 * @returns {T}
 */
export function merge(known, news) {
  if (!known) return news;
  const [older, newer] = RANK[news.state] < RANK[known.state] ? [news, known] : [known, news];
  const both = { ...older };
  for (const [name, value] of Object.entries(newer)) {
    if (value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0)) /** @type {any} */ (both)[name] = value;
  }
  const edits = (/** @type {Call} */ c) => c.edits?.length ?? 0;
  if (edits(older) !== edits(newer)) {
    const latest = edits(older) > edits(newer) ? older : newer;
    return { ...both, edits: latest.edits, votes: latest.votes };
  }
  both.votes = [...older.votes, ...newer.votes].reduce(addVote, /** @type {import('./types.js').Vote[]} */ ([]));
  return both;
}

/**
 * @param {import('./types.js').Vote[]} votes
 * @param {import('./types.js').Vote} vote
 */
function addVote(votes, vote) {
  return votes.some((v) => v.by === vote.by) ? votes : [...votes, vote];
}

/**
 * @param {any} event
 * @returns {Call}
 */
function bare(event) {
  return {
    call_id: event.subject, tool: '', domain: event.domain, principal: event.principal ?? '', actor: event.actor ?? '',
    chain: event.actor ? [event.actor] : [], state: 'running', opened: event.time, policies: [], approvers: [], votes: [],
  };
}

/**
 * @param {any} event
 * @param {any} intent
 * @returns {Call}
 */
function opened(event, intent) {
  const chain = (intent.identity?.chain ?? []).map((/** @type {any} */ a) => a.id);
  const decision = intent.decision ?? {};
  return {
    ...bare(event),
    tool: intent.tool ?? '',
    principal: intent.identity?.principal ?? '',
    actor: chain[0] ?? '',
    chain,
    state: decision.effect === 'hold' ? 'held' : 'running',
    effect: decision.effect,
    policies: policiesOf(decision),
    reason: textOf(decision),
    approvers: decision.approvers ?? [],
    expires: decision.expires ?? undefined,
    trace: event.traceparent,
  };
}

/**
 * @param {Call} call
 * @param {string} outcome
 * @param {any} event
 * @param {any} data
 * @returns {Call}
 */
function close(call, outcome, event, data) {
  if (call.state === 'closed') { // the API, which does not say who, may have been faster
    return call.outcome === outcome && !call.by && data.by ? { ...call, by: data.by.principal } : call;
  }
  const decision = data.decision;
  return {
    ...call, state: 'closed', outcome, code: data.code, reason: data.reason || call.reason, by: data.by?.principal,
    closed: event.time, duration_ms: data.duration_ms,
    policies: call.policies.length > 0 ? call.policies : policiesOf(decision),
    effect: call.effect ?? decision?.effect,
  };
}

/** @param {any} decision */
function policiesOf(decision) {
  const ids = (decision?.reasons ?? []).map((/** @type {any} */ r) => r.policy).filter(Boolean);
  return [...new Set(ids)];
}

/** @param {any} decision */
function textOf(decision) {
  return (decision.reasons ?? []).map((/** @type {any} */ r) => r.reason).filter(Boolean).join(' ');
}
