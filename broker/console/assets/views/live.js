// What agents do now: every call as it happens, the newest first.

import { focus, foreign, h, keyed, setText, show } from '../render.js';
import { arrange } from '../store.js';
import { clockTime, duration } from '../time.js';
import { chip, parties } from './parts.js';
import { partiesOf, stateOf, whyFailed } from './words.js';

/** @typedef {import('../types.js').Call} Call */

const SHOWN = 100;

/**
 * @param {{filter: string, setFilter: (q: string) => void}} page
 */
export function liveView(page) {
  let filter = page.filter;
  let pointed = false;
  /** @type {string[]} */
  let order = [];
  /** @type {import('../store.js').State|undefined} */
  let last;
  const input = h('input', { id: 'filter', type: 'search', placeholder: 'tool, person, agent, policy or state', autocomplete: 'off', spellcheck: 'false', oninput: changed });
  input.value = filter;
  const later = h('p', { class: 'later', 'aria-hidden': 'true' });
  const list = h('ol', { class: 'feed', onpointerenter: () => { pointed = true; }, onpointerleave: () => { pointed = false; refresh(); } });
  const empty = h('p', { class: 'muted' }, '');
  const element = h('section', { 'aria-labelledby': 'live-title' },
    h('div', { class: 'heading' }, h('h1', { id: 'live-title' }, 'Live'), h('div', { class: 'filter' }, h('label', { for: 'filter' }, 'Show only'), input)),
    later, list, empty);

  return { element, update, tick: refresh, command: (/** @type {import('../keys.js').Command} */ c) => c === 'search' && focus(input), title: 'Live' };

  function changed() {
    filter = input.value;
    order = [];
    page.setFilter(filter);
    refresh();
  }

  function refresh() {
    if (last) update(last);
  }

  /** @param {import('../store.js').State} state */
  function update(state) {
    last = state;
    const wanted = [...state.calls.values()].reverse().filter((c) => matches(c, filter)).slice(0, SHOWN).map((c) => c.call_id);
    const waiting = pointed ? wanted.filter((id) => !order.includes(id)).length : 0;
    // new ones wait while somebody points at the list: they belong on top, where they would push
    order = pointed && order.length > 0 ? arrange(order, wanted.filter((id) => order.includes(id)), true) : wanted;
    setText(later, waiting > 0 ? `${waiting} newer: move the pointer away to see them` : '');
    const items = order.map((id) => /** @type {Call} */ (state.calls.get(id))).filter(Boolean);
    keyed(list, items, { key: (c) => c.call_id, create: () => h('li', {}), update: (node, c) => row(node, c) });
    show(empty, items.length === 0);
    setText(empty, filter ? 'No call of late fits.' : 'No calls yet.');
  }
}

/**
 * Fills a row of a list of calls.
 * @param {HTMLElement} node
 * @param {Call} call
 * @param {(time: string) => string} [when] how its time is written
 */
export function row(node, call, when = clockTime) {
  const why = call.state !== 'closed' || call.outcome === 'result' ? '' : call.outcome === 'failed' ? whyFailed(call) : call.reason;
  const link = node.querySelector('a') ?? h('a', { class: 'tool', href: `#/calls/${encodeURIComponent(call.call_id)}` });
  link.replaceChildren(foreign(call.tool || 'a call'));
  const parts = [
    h('time', { datetime: call.opened }, when(call.opened)), chip(call), link, parties(call),
    h('span', { class: 'took' }, duration(call.duration_ms)),
    h('span', { class: 'decided' }, ...call.policies.map((p) => h('code', { class: 'policy' }, foreign(p))), why ? foreign(why, { class: 'foreign reason' }) : null),
  ];
  if (node.contains(document.activeElement)) { // keep the focused link where it is
    const at = parts.indexOf(link);
    for (const old of [...node.childNodes]) if (old !== link) old.remove();
    link.before(...parts.slice(0, at));
    link.after(...parts.slice(at + 1));
  } else {
    node.replaceChildren(...parts);
  }
}

/**
 * @param {Call} call
 * @param {string} filter words that must all be somewhere
 */
export function matches(call, filter) {
  const text = [call.tool, call.domain, ...partiesOf(call), ...call.policies, stateOf(call)[0], call.code ?? ''].join(' ').toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
