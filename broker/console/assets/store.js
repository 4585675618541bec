// The state of the page, and the one function that changes it: pure, over actions and
// the sequenced events of the stream. Events that were seen already change nothing.

import { apply, kindOf, merge } from './calls.js';

/**
 * @typedef {import('./types.js').Call} Call
 * @typedef {import('./types.js').HeldCall} HeldCall
 *
 * @typedef {object} State
 * @property {import('./types.js').Viewer|null} viewer
 * @property {import('./types.js').Link} link
 * @property {import('./types.js').Replica} [replica]
 * @property {{at: number, error: string}} inbox when the held calls were last read, and why they could not be
 * @property {Map<string, HeldCall>} held that wait, and that were decided while they were on the page
 * @property {Map<string, Call>} calls seen lately, in the order of their opening
 * @property {Map<string, number>} marks the last index seen of each log
 */

/** How many calls are remembered. */
export const MAX_CALLS = 500;

/** @returns {State} */
export function initial() {
  return {
    viewer: null,
    link: { status: 'connecting', since: 0 },
    inbox: { at: 0, error: '' },
    held: new Map(),
    calls: new Map(),
    marks: new Map(),
  };
}

/**
 * @typedef {{type: 'viewer', viewer: import('./types.js').Viewer}
 *   | {type: 'link', link: import('./types.js').Link}
 *   | {type: 'replica', replica: import('./types.js').Replica|undefined}
 *   | {type: 'records', records: import('./types.js').StreamRecord[]}
 *   | {type: 'history', calls: Call[]}
 *   | {type: 'held', calls: HeldCall[], at: number}
 *   | {type: 'inbox failed', error: string}
 *   | {type: 'call', call: HeldCall}
 *   | {type: 'forget', ids: string[]}
 *   | {type: 'reset'}} Action
 */

/**
 * @param {State} state
 * @param {Action} action
 * @returns {State}
 */
export function reduce(state, action) {
  switch (action.type) {
    case 'viewer':
      return { ...state, viewer: action.viewer };
    case 'link':
      return { ...state, link: action.link };
    case 'replica':
      return { ...state, replica: action.replica };
    case 'records':
      return addRecords(state, action.records);
    case 'history':
      return addHistory(state, action.calls);
    case 'held':
      return { ...replaceHeld(state, action.calls), inbox: { at: action.at, error: '' } };
    case 'inbox failed':
      return { ...state, inbox: { ...state.inbox, error: action.error } };
    case 'call':
      return addCall(state, action.call);
    case 'forget': {
      const held = new Map(state.held);
      for (const id of action.ids) held.delete(id);
      return { ...state, held };
    }
    case 'reset': // the cursor was of another log: nothing that was seen can be relied on
      return { ...initial(), viewer: state.viewer, link: state.link };
  }
}

/**
 * @param {State} state
 * @param {import('./types.js').StreamRecord[]} records
 * @returns {State}
 */
function addRecords(state, records) {
  const marks = new Map(state.marks);
  const calls = new Map(state.calls);
  const held = new Map(state.held);
  for (const record of records) {
    const [log, index] = splitPosition(record.position);
    if (index <= (marks.get(log) ?? -1)) continue;
    marks.set(log, index);
    const id = record.event.subject;
    if (!kindOf(record.event) || !id) continue;
    const call = apply(calls.get(id) ?? held.get(id), record.event);
    if (!call) continue;
    calls.set(id, call);
    const card = held.get(id);
    if (card) held.set(id, merge(card, /** @type {HeldCall} */ (call)));
  }
  return { ...state, marks, calls: trim(calls), held };
}

/**
 * @param {State} state
 * @param {Call[]} history the newest first, as the API lists it
 * @returns {State}
 */
function addHistory(state, history) {
  const known = [...history].reverse().map((c) => /** @type {[string, Call]} */ ([c.call_id, c]));
  const calls = new Map(known);
  for (const [id, call] of state.calls) calls.set(id, merge(calls.get(id), call));
  return { ...state, calls: trim(calls) };
}

/**
 * The held calls as the broker lists them. Those that are not listed any more stay,
 * marked as decided, until the page forgets them.
 * @param {State} state
 * @param {HeldCall[]} list
 * @returns {State}
 */
function replaceHeld(state, list) {
  const held = new Map(state.held);
  const listed = new Set(list.map((c) => c.call_id));
  for (const [id, card] of held) {
    if (!listed.has(id) && waits(card)) held.set(id, { ...card, state: 'released' });
  }
  for (const call of list) {
    held.set(call.call_id, withNews(merge(held.get(call.call_id), call), call, state.calls.get(call.call_id)));
  }
  return { ...state, held };
}

/**
 * @param {State} state
 * @param {HeldCall} call
 * @returns {State}
 */
function addCall(state, call) {
  const calls = new Map(state.calls);
  if (calls.has(call.call_id)) calls.set(call.call_id, merge(/** @type {Call} */ (calls.get(call.call_id)), call));
  const held = new Map(state.held);
  const card = held.get(call.call_id);
  if (card) held.set(call.call_id, { ...merge(card, call), arguments: call.arguments ?? card.arguments });
  return { ...state, calls, held };
}

/**
 * What only the broker decides is as it says now; what the stream knows more of, stays.
 * @param {HeldCall} card
 * @param {HeldCall} fresh
 * @param {Call|undefined} seen
 * @returns {HeldCall}
 */
function withNews(card, fresh, seen) {
  const merged = seen ? merge(/** @type {HeldCall} */ (seen), card) : card;
  const { may_vote, why_not, step_up, digest, sentence, asked, arguments: exact, arguments_erased, justification, annotations, precedents, quorum, alike } = fresh;
  return { ...merged, may_vote, why_not, step_up, digest, sentence, asked, arguments: exact, arguments_erased, justification, annotations, precedents, quorum, alike };
}

/** @param {Map<string, Call>} calls */
function trim(calls) {
  let excess = calls.size - MAX_CALLS;
  for (const id of calls.keys()) {
    if (excess-- <= 0) break;
    calls.delete(id);
  }
  return calls;
}

/**
 * @param {string} position payments/calls@17
 * @returns {[string, number]}
 */
export function splitPosition(position) {
  const at = position.lastIndexOf('@');
  return [position.slice(0, at), Number(position.slice(at + 1))];
}

/** @param {Call} call */
export function waits(call) {
  return call.state === 'held';
}

/**
 * The calls that wait, and how many of them this viewer may decide.
 * @param {State} state
 */
export function counts(state) {
  const waiting = [...state.held.values()].filter(waits);
  return { waiting: waiting.length, mine: waiting.filter((c) => c.may_vote).length };
}

/**
 * The ids of cards, the earliest deadline first, and of those within a minute what
 * destroys first.
 * @param {State} state
 */
export function byUrgency(state) {
  const minute = (/** @type {HeldCall} */ c) => (c.expires ?? '~').slice(0, 16);
  const risk = (/** @type {HeldCall} */ c) => (c.annotations?.destructive ? '0' : '1');
  return [...state.held.values()]
    .sort((a, b) => compare(minute(a), minute(b)) || compare(risk(a), risk(b)) || compare(a.expires ?? '~', b.expires ?? '~') || compare(a.call_id, b.call_id))
    .map((c) => c.call_id);
}

/**
 * The calls that can be decided together: they wait for the same people, and differ only
 * in their arguments and in whom they are for.
 * @param {State} state
 * @param {string} key
 */
export function alikeOf(state, key) {
  return groups(state.held).get(key) ?? [];
}

/** @type {WeakMap<Map<string, HeldCall>, Map<string, HeldCall[]>>} */
const grouped = new WeakMap();

/**
 * Held calls that the viewer may decide, by what makes them alike; found once for each state.
 * @param {Map<string, HeldCall>} held
 */
function groups(held) {
  let found = grouped.get(held);
  if (!found) {
    found = Map.groupBy([...held.values()].filter((c) => c.alike && waits(c) && c.may_vote), (c) => c.alike ?? '');
    grouped.set(held, found);
  }
  return found;
}

/**
 * @param {string} a
 * @param {string} b
 */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The order in which a list is shown. While a person points at it, nothing that is on
 * the page moves: what is new comes last, what has gone is left out.
 * @param {string[]} shown
 * @param {string[]} wanted
 * @param {boolean} pointed
 */
export function arrange(shown, wanted, pointed) {
  if (!pointed) return wanted;
  const keep = new Set(wanted);
  const there = shown.filter((id) => keep.has(id));
  const had = new Set(there);
  return [...there, ...wanted.filter((id) => !had.has(id))];
}
