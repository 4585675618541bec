// Pieces that several pages have.

import { foreign, h } from '../render.js';
import { fullTime } from '../time.js';
import { partiesOf, stateOf } from './words.js';

/** @typedef {import('../types.js').Call} Call */

/** @param {Call} call */
export function chip(call) {
  const [word, tone] = stateOf(call);
  return h('span', { class: `chip ${tone}` }, word);
}

/**
 * Who a call is for and who makes it, the person first.
 * @param {Call} call
 */
export function parties(call) {
  const element = h('span', { class: 'parties' });
  partiesOf(call).forEach((name, i) => {
    const isPerson = i === 0 && call.principal !== '';
    if (i > 0) element.append(h('span', { class: 'through' }, ' through '));
    element.append(foreign(name, { class: isPerson ? 'foreign person' : 'foreign agent' }));
  });
  if (!call.principal) element.append(h('span', { class: 'through' }, ' on its own'));
  return element;
}

/** @param {string} digest */
export function digestView(digest) {
  return h('code', { class: 'digest', title: 'digest of the call: tool, exact arguments and parties' }, digest);
}

/**
 * Policies, each once, with all the parties that it spoke about.
 * @param {import('../types.js').Reason[]} reasons
 */
export function reasonList(reasons) {
  const about = new Map();
  for (const r of reasons) {
    const key = JSON.stringify([r.policy, r.effect, r.reason]);
    const known = about.get(key) ?? { ...r, links: new Set() };
    if (r.link) known.links.add(r.link);
    about.set(key, known);
  }
  return h('ul', { class: 'reasons' }, ...[...about.values()].map((r) => h('li', {},
    r.policy ? policyLink(r.policy) : h('code', { class: 'policy' }, 'no policy permits it'),
    r.reason ? foreign(r.reason, { class: 'foreign reason' }) : null,
    r.links.size > 0 ? h('small', {}, 'applies to ', ...[...r.links].flatMap((link, i) => [i > 0 ? ' and ' : '', foreign(nameOf(link))])) : null)));
}

/**
 * A policy by its id, which leads to what it says.
 * @param {string} id
 */
export function policyLink(id) {
  return h('a', { class: 'policy', href: `#/policy?id=${encodeURIComponent(id)}` }, foreign(id));
}

/**
 * A link of a chain in words: User::"alice" is alice, Agent::"copilot" is agent copilot.
 * @param {string} link
 */
function nameOf(link) {
  const [, kind, name] = /^(User|Agent)::"([^"\\]+)"$/.exec(link) ?? [];
  return name ? `${kind === 'Agent' ? 'agent ' : ''}${name}` : link;
}

/** @param {string|undefined} time */
export function moment(time) {
  return time ? h('time', { datetime: time }, fullTime(time)) : h('span', {}, '');
}
