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

/** @param {import('../types.js').Reason[]} reasons */
export function reasonList(reasons) {
  return h('ul', { class: 'reasons' }, ...reasons.map((r) => h('li', {},
    h('code', { class: 'policy' }, foreign(r.policy || 'no policy permits it')),
    r.reason ? foreign(r.reason, { class: 'foreign reason' }) : null,
    r.link ? h('small', {}, 'about ', foreign(r.link)) : null)));
}

/** @param {string|undefined} time */
export function moment(time) {
  return time ? h('time', { datetime: time }, fullTime(time)) : h('span', {}, '');
}
