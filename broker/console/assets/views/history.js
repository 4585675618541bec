// The history: search by what the address says, and step by step through what it finds.

import { ApiError, api } from '../api.js';
import { focus, foreign, h, setForeign, setText, show } from '../render.js';
import { clockTime, fullTime, span } from '../time.js';
import { row } from './live.js';
import { chip, parties } from './parts.js';
import { counted } from './words.js';

/** @typedef {import('../types.js').Call} Call */

const FIELDS = /** @type {[string, string, string][]} */ ([
  ['q', 'Words', 'in names, arguments and answers'], ['tool', 'Tool', 'payments.refund, payments. or pay*'], ['agent', 'Agent', ''], ['person', 'Person', ''],
  ['policy', 'Policy', ''], ['session', 'Session', ''],
]);
/** How many of them are always there. */
const FEW = 2;
const OUTCOMES = ['', 'result', 'failed', 'denied', 'expired', 'cancelled', 'unknown'];

/** @param {string} query of the address */
export function historyView(query) {
  const where = Object.fromEntries([...new URLSearchParams(query)].filter(([name, value]) => value && (name === 'outcome' || FIELDS.some(([known]) => known === name))));
  /** @type {Call[]} the newest first */
  let found = [];
  let next = '';
  const fields = new Map(FIELDS.map(([name, , hint]) => [name, h('input', { id: `by-${name}`, type: 'search', name, placeholder: hint, autocomplete: 'off', spellcheck: 'false' })]));
  for (const [name, field] of fields) field.value = where[name] ?? '';
  const outcome = h('select', { id: 'by-outcome' }, ...OUTCOMES.map((o) => h('option', {}, o || 'any')));
  outcome.selectedIndex = Math.max(0, OUTCOMES.indexOf(where.outcome ?? ''));
  const form = h('form', { class: 'search', role: 'search', 'aria-label': 'calls', onsubmit: (/** @type {Event} */ e) => submit(e) },
    ...FIELDS.slice(0, FEW).map(field), more(), h('div', {}, h('button', { type: 'submit', class: 'primary' }, 'Search')));
  const error = h('p', { class: 'error', role: 'alert' });
  const told = h('p', { class: 'muted', role: 'status' }, 'Looking…');
  const list = h('ol', { class: 'feed dated' });
  const earlier = h('button', { type: 'button', onclick: () => void load() }, 'Earlier calls');
  const steps = new Replay((call) => mark(call));
  const element = h('section', { 'aria-labelledby': 'history-title' }, h('h1', { id: 'history-title' }, 'History'), form, error, told, steps.element, list, earlier);
  show(earlier, false);
  void load();
  return { element, update() {}, tick() {}, command: (/** @type {import('../keys.js').Command} */ c) => c === 'search' && focus(fields.get('q')), title: 'History' };

  /** @param {[string, string, string]} of */
  function field([name, label]) {
    return h('div', {}, h('label', { for: `by-${name}` }, label), fields.get(name));
  }

  /** The other fields, which on a phone are there for who wants them. */
  function more() {
    const wide = matchMedia('(min-width: 641px)').matches || FIELDS.slice(FEW).some(([name]) => where[name]) || Boolean(where.outcome);
    return h('details', { class: 'more-fields', open: wide }, h('summary', {}, 'More to search by'),
      h('div', { class: 'search' }, ...FIELDS.slice(FEW).map(field), h('div', {}, h('label', { for: 'by-outcome' }, 'Outcome'), outcome)));
  }

  /** @param {Event} e */
  function submit(e) {
    e.preventDefault();
    const entries = [...fields].map(([name, field]) => [name, field.value.trim()]);
    const wanted = new URLSearchParams([...entries, ['outcome', OUTCOMES[outcome.selectedIndex]]].filter(([, value]) => value));
    location.hash = `#/history?${wanted}`;
  }

  async function load() {
    earlier.disabled = true;
    try {
      const page = await api.history(where, { cursor: next });
      found = [...found, ...page.items];
      next = page.next ?? '';
      list.append(...page.items.map((call) => {
        const item = h('li', { 'data-call': call.call_id });
        row(item, call, fullTime);
        return item;
      }));
      setText(error, '');
    } catch (e) {
      setForeign(error, e instanceof ApiError ? e.message : 'The page failed to show them. Load it again.');
    }
    earlier.disabled = false;
    show(earlier, next !== '');
    setText(told, found.length === 0 ? 'No call that you may see fits.' : next ? `The latest ${counted(found.length, 'call')}, the newest first.` : `${counted(found.length, 'call')}, the newest first.`);
    steps.update(where.session || where.agent ? [...found].reverse() : []);
  }

  /** @param {Call} call */
  function mark(call) {
    for (const item of list.children) item.classList.toggle('current', item.getAttribute('data-call') === call.call_id);
  }
}

/** Steps through calls in the order in which they were made. */
class Replay {
  /** @param {(call: Call) => void} onstep */
  constructor(onstep) {
    this.onstep = onstep;
    /** @type {Call[]} */
    this.calls = [];
    this.slider = h('input', { id: 'step', type: 'range', oninput: () => this.#show() });
    this.step = h('div', { class: 'step-shown', role: 'status' });
    this.element = h('div', { class: 'replay card' }, h('label', { for: 'step' }, 'Step by step'), this.slider, this.step);
    show(this.element, false);
  }

  /** @param {Call[]} calls the oldest first */
  update(calls) {
    this.calls = calls;
    show(this.element, calls.length > 1);
    Object.assign(this.slider, { min: '1', max: String(Math.max(1, calls.length)), step: '1', value: '1' });
    if (calls.length > 1) this.#show();
  }

  #show() {
    const at = Number(this.slider.value) - 1;
    const call = this.calls[at];
    const after = Date.parse(call.opened) - Date.parse(this.calls[0].opened);
    this.slider.setAttribute('aria-valuetext', `step ${at + 1} of ${this.calls.length}`);
    this.step.replaceChildren(h('p', {}, `${at + 1} of ${this.calls.length}, ${clockTime(call.opened)}${after >= 1000 ? `, ${span(after)} after the first` : ''} `, chip(call)),
      h('p', {}, h('a', { href: `#/calls/${encodeURIComponent(call.call_id)}` }, foreign(call.tool || 'a call')), ' for ', parties(call)),
      call.reason ? h('p', { class: 'muted' }, foreign(call.reason)) : '');
    this.onstep(call);
  }
}
