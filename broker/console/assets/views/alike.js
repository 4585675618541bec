// Calls alike, decided on together: a table of what differs between them. Each of them
// still gets a vote of its own, on what its row shows.

import { ApiError, now } from '../api.js';
import { membersOf } from '../json.js';
import { foreign, h, keyed, pieces, setForeign, setText, show } from '../render.js';
import { alikeOf } from '../store.js';
import { span } from '../time.js';
import { visibleText } from '../visible.js';
import { parties } from './parts.js';
import { endingOf } from './words.js';

/** @typedef {import('../types.js').HeldCall} HeldCall */

/** How many rows there are at most. */
const ROWS = 100;
/** A row with a longer value is not for a table: the call has a page of its own. */
const LONGEST = 400;
/** More arguments that differ are not compared in a table either. */
const COLUMNS = 8;
const ARMING = 400;

/**
 * @param {string} key
 * @param {import('./card.js').Deciding} page
 */
export function alikeView(key, page) {
  /** @type {Map<string, Row>} the rows, in the order in which they came */
  const rows = new Map();
  let columns = '';
  let shownAt = performance.now();
  let busy = false;
  /** @type {''|'approve'|'deny'} */
  let asking = '';

  const heading = h('h1', { id: 'alike-title' }, 'Calls alike');
  const same = h('ul', { class: 'same' });
  const all = h('input', { type: 'checkbox', 'aria-label': 'choose all', onchange: () => choose(all.checked) });
  const head = h('tr', {});
  const body = h('tbody', {});
  const table = h('div', { class: 'table', tabindex: 0, role: 'group', 'aria-label': 'what differs' }, h('table', {}, h('thead', {}, head), body));
  const empty = h('div', { class: 'empty' }, h('p', {}, 'None of them waits any more.'));
  const error = h('p', { class: 'error', role: 'alert' });
  const tell = h('p', { class: 'muted', role: 'status' });
  const approve = h('button', { type: 'button', class: 'approve', onclick: () => ask('approve') });
  const deny = h('button', { type: 'button', class: 'deny', onclick: () => ask('deny') });
  const first = h('div', { class: 'actions' }, approve, deny);
  const sure = h('p', { class: 'ask', id: 'alike-sure' });
  const note = h('textarea', { id: 'alike-note', rows: 2, maxlength: 1000 });
  const noteLabel = h('label', { for: 'alike-note' });
  const send = h('button', { type: 'submit' });
  const back = h('button', { type: 'button', class: 'quiet', onclick: () => { ask(''); approve.focus(); } }, 'Back');
  const question = h('form', { class: 'question', 'aria-labelledby': 'alike-sure', tabindex: -1, onsubmit: (/** @type {Event} */ e) => { e.preventDefault(); void decide(); } },
    sure, noteLabel, note, h('div', { class: 'actions' }, send, back));
  const element = h('section', { class: 'alike', 'aria-labelledby': 'alike-title' }, h('p', {}, h('a', { href: '#/', class: 'back' }, '← Waiting')), heading,
    h('p', { class: 'muted' }, 'They wait for the same people. Each that you choose gets a vote of its own, on exactly what its row shows.'), same, table, empty, tell, first, question, error);
  show(question, false);
  return { element, update, tick: () => rows.forEach((r) => r.tick()), command: (/** @type {import('../keys.js').Command} */ c) => command(c), title: 'Calls alike' };

  /** @param {import('../store.js').State} state */
  function update(state) {
    const waiting = new Map(alikeOf(state, key).map((c) => [c.call_id, c]));
    for (const [id, call] of waiting) {
      if (!rows.has(id) && rows.size < ROWS && call.arguments) {
        rows.set(id, new Row(call, changed));
        shownAt = performance.now();
      }
    }
    for (const [id, row] of rows) row.update(waiting.get(id) ?? state.held.get(id) ?? state.calls.get(id));
    draw();
  }

  function draw() {
    const list = [...rows.values()];
    const names = [...new Set(list.flatMap((r) => [...r.values.keys()]))];
    const alike = names.filter((n) => list.every((r) => r.values.get(n) === list[0].values.get(n)));
    const others = names.filter((n) => !alike.includes(n));
    const differ = others.slice(0, COLUMNS);
    for (const r of list) r.fits(others.slice(COLUMNS));
    if (JSON.stringify([alike, differ]) !== columns) {
      columns = JSON.stringify([alike, differ]);
      same.replaceChildren(...alike.map((n) => h('li', {}, h('code', {}, ...pieces(n)), ' is ', h('code', { class: 'value' }, ...pieces(list[0].values.get(n) ?? '')), ' in all of them')));
      head.replaceChildren(h('th', { scope: 'col' }, h('label', { class: 'tap' }, all)), ...['What it would do', 'For', ...differ].map((n, i) => h('th', { scope: 'col' }, i < 2 ? n : h('code', {}, ...pieces(n)))),
        h('th', { scope: 'col' }, 'Time left, or what became of it'));
    }
    keyed(body, list, { key: (r) => r.id, create: (r) => r.element, update() {} });
    for (const r of list) r.show(differ);
    heading.replaceChildren(`${list.length} calls of `, foreign(list[0]?.call.tool ?? ''), ' alike');
    show(table, list.length > 0);
    show(empty, list.length === 0);
    changed();
  }

  function chosen() {
    return [...rows.values()].filter((r) => r.chosen.checked && r.open());
  }

  function changed() {
    const n = chosen().length;
    setText(approve, `Approve ${n}…`);
    setText(deny, `Deny ${n}…`);
    for (const b of [approve, deny]) b.disabled = n === 0;
    show(first, asking === '' && rows.size > 0);
    show(question, asking !== '');
    send.disabled = busy || n === 0;
    const open = [...rows.values()].filter((r) => r.fit && r.open());
    all.checked = open.length > 0 && n === open.length;
    if (asking) setText(sure, asking === 'approve' ? `Approve these ${n} calls, each with exactly the arguments in its row?` : `Deny these ${n} calls?`);
  }

  /** @param {boolean} on */
  function choose(on) {
    for (const r of rows.values()) r.chosen.checked = on && r.fit && r.open();
    changed();
  }

  /** @param {''|'approve'|'deny'} what */
  function ask(what) {
    if (busy || (what && (chosen().length === 0 || performance.now() - shownAt < ARMING))) return;
    asking = what;
    shownAt = performance.now();
    setText(error, '');
    setText(noteLabel, what === 'deny' ? 'Why not? Each agent gets this as the answer.' : 'Note for the record (optional)');
    note.required = what === 'deny';
    send.className = what === 'deny' ? 'danger' : 'primary';
    setText(send, what === 'deny' ? 'Deny them' : 'Yes, approve each');
    question.classList.toggle('neutral', what === 'approve');
    changed();
    if (what === 'approve') question.focus();
    if (what === 'deny') note.focus();
  }

  /** One vote after the other, each on what its row shows. */
  async function decide() {
    const reason = note.value.trim();
    const verdict = asking;
    if (!verdict || busy || performance.now() - shownAt < ARMING || (verdict === 'deny' && !reason)) return;
    busy = true;
    const todo = chosen();
    let done = 0;
    for (const row of todo) {
      setText(tell, `${done} of ${todo.length} sent`);
      changed();
      try {
        await page.decide(row.call, verdict, reason);
        done++;
        setText(row.problem, '');
      } catch (e) {
        setForeign(row.problem, e instanceof ApiError ? e.message : 'The page failed to send it.');
      }
      row.chosen.checked = false;
    }
    busy = false;
    note.value = '';
    ask('');
    setText(tell, `${done} ${verdict === 'approve' ? 'approved' : 'denied'}${done < todo.length ? `, ${todo.length - done} not: their rows say why` : ''}.`);
    approve.focus();
  }

  /** @param {import('../keys.js').Command} c */
  function command(c) {
    if (c === 'approve' || c === 'deny') ask(c);
    else if (c === 'confirm' && asking === 'approve') void decide();
    else if (c === 'cancel' && asking) ask('');
    else return false;
    return true;
  }
}

/** One of the calls, as it was when its row was made or changed. */
class Row {
  /**
   * @param {HeldCall} call
   * @param {() => void} onchange
   */
  constructor(call, onchange) {
    this.id = call.call_id;
    this.chosen = h('input', { type: 'checkbox', onchange });
    this.problem = h('p', { class: 'error' });
    this.left = h('span', {});
    this.element = h('tr', { 'data-call': this.id });
    this.call = call;
    /** @type {import('../types.js').Call} what is known of it now */
    this.state = call;
    /** @type {Map<string, string>} */
    this.values = new Map();
    this.fit = true;
    this.columns = '';
    this.put(call);
  }

  /** @param {HeldCall} call */
  put(call) {
    this.call = call;
    this.columns = '';
    this.values = new Map(membersOf(call.arguments?.text ?? '{}'));
    this.chosen.checked = false;
    this.chosen.setAttribute('aria-label', visibleText((call.sentence?.parts ?? []).map((p) => p.text).join('') || call.tool));
  }

  /** @param {import('../types.js').Call|undefined} call */
  update(call) {
    const news = /** @type {HeldCall|undefined} */ (call);
    if (news?.digest && news.arguments && news.digest !== this.call.digest) this.put(news); // edited: it is not chosen any more
    this.state = news ?? { ...this.call, state: 'released' };
    this.chosen.disabled = !this.open() || !this.fit;
    this.tick();
  }

  /**
   * Only what is shown whole can be decided on here.
   * @param {string[]} left arguments that have no column
   */
  fits(left) {
    const fit = [...this.values].every(([name, value]) => value.length <= LONGEST && !left.includes(name));
    if (fit === this.fit) return;
    this.fit = fit;
    this.columns = '';
    if (!fit) this.chosen.checked = false;
    this.chosen.disabled = !this.open() || !fit;
  }

  open() {
    return this.state.state === 'held';
  }

  tick() {
    setForeign(this.left, this.open() ? `${span(Date.parse(this.call.expires ?? '') - now())} left` : endingOf(this.state, now()));
  }

  /** @param {string[]} differ the arguments to show */
  show(differ) {
    const columns = JSON.stringify(differ);
    if (columns === this.columns) return;
    this.columns = columns;
    const page = h('a', { href: `#/calls/${encodeURIComponent(this.id)}` }, 'open');
    this.element.replaceChildren(h('td', {}, h('label', { class: 'tap' }, this.chosen)),
      h('td', { class: 'does' }, ...(this.call.sentence?.parts ?? []).map((p) => foreign(p.text, { class: p.field ? 'foreign argument' : 'foreign' })), ' ', page,
        this.fit ? null : h('p', { class: 'muted' }, 'Too much for a table: open it to decide.')),
      h('td', {}, parties(this.call)),
      ...differ.map((n) => h('td', {}, h('code', { class: 'value' }, ...pieces((this.values.get(n) ?? 'none').slice(0, LONGEST))))),
      h('td', {}, this.left, this.problem));
  }
}
