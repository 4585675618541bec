// What people decide on beside the arguments: what the agent and the tool say of themselves,
// what was decided of the like before, and how far the decision is.

import { foreign, h } from '../render.js';

/** @typedef {import('../types.js').HeldCall} HeldCall */

/**
 * What the agent gives as its reason. It may be a lie, and is marked so.
 * @param {string|undefined} why
 */
export function said(why) {
  if (!why) return null;
  return h('div', { class: 'said' }, h('h3', {}, 'The agent\'s own words, not verified'), h('p', {}, foreign(why, { multiline: true })));
}

/**
 * What the tool says of itself, in one word each.
 * @param {import('../types.js').Annotations|undefined} of
 */
export function hints(of) {
  const words = /** @type {[boolean, string, string][]} */ ([
    [of?.destructive === true, 'destructive', 'bad'], [of?.read_only === true, 'only reads', 'muted'], [of?.idempotent === true, 'safe to repeat', 'muted'],
    [of?.idempotent === false, 'not safe to repeat', 'warn'], [of?.open_world === true, 'reaches outside', 'warn'],
  ]).filter(([is]) => is);
  return words.length === 0 ? null : h('span', { class: 'hints' }, ...words.map(([, word, tone]) => h('span', { class: `chip ${tone}`, title: 'the tool says so itself' }, word)));
}

/**
 * How often the like was asked before, and what was decided.
 * @param {HeldCall} call
 */
export function precedents(call) {
  const p = call.precedents;
  if (!p) return '';
  const others = Math.max(0, p.open - 1);
  const times = p.approved + p.denied + p.expired + p.cancelled + others;
  if (times === 0) return `The first of its kind in ${p.days} days: same tool, agent and person.`;
  const parts = /** @type {[number, string][]} */ ([
    [p.approved, 'approved'], [p.denied, 'denied'], [p.expired, 'expired'], [p.cancelled, 'cancelled'], [others, 'waiting too'],
  ]).filter(([n]) => n > 0).map(([n, word]) => `${n.toLocaleString()} ${word}`);
  return `The like was asked ${times === 1 ? 'once' : `${times.toLocaleString()} times`} in ${p.days} days: ${parts.join(', ')}.`;
}

/**
 * Whom the call waits for, and who has approved it.
 * @param {HeldCall} call
 */
export function quorum(call) {
  const voters = call.votes.map((v) => v.by).join(', ');
  const needed = call.quorum?.needed ?? 0;
  const roles = call.approvers.length > 0 ? `somebody who is ${call.approvers.join(' or ')}` : 'approval';
  const waits = needed > 1 ? `Waits for ${needed} approvals${call.approvers.length > 0 ? ` by those who are ${call.approvers.join(' or ')}` : ''}, has ${call.votes.length}.` : `Waits for ${roles}.`;
  return voters ? `${waits} Approved so far by ${voters}.` : call.may_vote ? `${waits} You may decide.` : waits;
}

/**
 * The way to what else happened: in the session, or by the agent for the person.
 * @param {import('../types.js').Call} call
 */
export function since(call) {
  const where = new URLSearchParams(call.session ? { session: call.session } : call.actor ? { agent: call.actor, person: call.principal } : { person: call.principal });
  if (!call.session && !call.principal) where.delete('person');
  return h('a', { href: `#/history?${where}` }, call.session ? 'What else happened in this session' : 'What else it did');
}
