// The question "which calls like it are approved in advance?".

import { api, withExact } from '../api.js';
import { membersOf } from '../json.js';
import { foreign, h, pieces, setText, show } from '../render.js';

const HOURS = /** @type {[string, number][]} */ ([['1 hour', 1], ['4 hours', 4], ['1 day', 24], ['1 week', 168]]);
const NUMBER = /^-?[0-9]/;

export class GrantStep {
  /**
   * @param {import('./card.js').Card} card
   * @param {string} id of the card's heading
   * @param {() => void} back
   */
  constructor(card, id, back) {
    this.card = card;
    /** @type {Row[]} */
    this.rows = [];
    this.where = h('ul', { class: 'conditions' });
    this.uses = h('input', { id: `${id}-uses`, type: 'number' });
    this.hours = h('select', { id: `${id}-hours` }, ...HOURS.map(([text]) => h('option', {}, text)));
    this.reason = h('input', { id: `${id}-grant-reason`, type: 'text', maxlength: 1000, autocomplete: 'off' });
    this.preview = h('p', { class: 'preview', role: 'status' });
    this.send = h('button', { type: 'submit', class: 'primary' }, 'Approve it, and these');
    this.look = h('button', { type: 'button', onclick: () => this.#preview() }, 'What would it have covered?');
    this.element = h('form', { class: 'question neutral', onsubmit: (/** @type {Event} */ e) => this.#submit(e), onchange: () => setText(this.preview, '') },
      h('p', { class: 'ask' }, 'Approve this call, and calls of ', foreign(card.call.tool), ' by the same agent for the same person, if'),
      this.where,
      h('div', { class: 'fields' },
        h('div', {}, h('label', { for: `${id}-uses` }, 'Calls, this one included'), this.uses),
        h('div', {}, h('label', { for: `${id}-hours` }, 'For'), this.hours)),
      h('label', { for: `${id}-grant-reason` }, 'Why, for the record (optional)'), this.reason, this.preview,
      h('div', { class: 'actions' }, this.send, this.look, h('button', { type: 'button', class: 'quiet', onclick: back }, 'Back')));
    Object.assign(this.uses, { min: '1', max: '1000', value: '5' });
  }

  open() {
    const id = this.where.id || 'w';
    this.rows = membersOf(this.card.call.arguments?.text ?? '{}').map(([name, text], i) => new Row(`${this.uses.id}-${id}${i}`, name, text));
    this.where.replaceChildren(...this.rows.map((r) => r.element));
    setText(this.preview, '');
    this.uses.focus();
  }

  /** @param {boolean} busy */
  update(busy) {
    this.send.disabled = busy;
    setText(this.send, busy ? 'Sending…' : 'Approve it, and these');
  }

  /** The body of the request, numbers and texts of arguments exactly as they are. */
  #body() {
    const { call } = this.card;
    const until = new Date(Date.now() + HOURS[this.hours.selectedIndex][1] * 3_600_000).toISOString();
    const where = this.rows.map((r) => r.condition()).filter((c) => c !== '');
    const request = { call_id: call.call_id, digest: call.digest, uses: Number(this.uses.value), until, reason: this.reason.value.trim() };
    return withExact(request, 'where', `[${where.join(',')}]`);
  }

  async #preview() {
    setText(this.preview, 'Looking…');
    try {
      const p = await api.previewGrant(this.#body());
      setText(this.preview, `Of ${p.alike} calls alike in the last 30 days it would have covered ${p.covered}.`);
    } catch (e) {
      this.preview.replaceChildren(...pieces(e instanceof Error ? e.message : ''));
    }
  }

  /** @param {Event} e */
  #submit(e) {
    e.preventDefault();
    void this.card.send(() => this.card.options.grant(this.card.call, this.#body()));
  }
}

/** One argument: as it is here, at most as much, or anything. */
class Row {
  /**
   * @param {string} id
   * @param {string} name
   * @param {string} text exact
   */
  constructor(id, name, text) {
    this.name = name;
    this.text = text;
    const kinds = NUMBER.test(text) ? ['is', 'is at most', 'is at least', 'is anything'] : ['is', 'is anything'];
    this.kind = h('select', { 'aria-label': `how ${name} is compared`, id, onchange: () => show(this.value, this.kind.value !== 'is anything') }, ...kinds.map((k) => h('option', {}, k)));
    this.value = h('code', { class: 'value' }, ...pieces(text.length > 200 ? `${text.slice(0, 200)}…` : text));
    this.element = h('li', {}, h('code', {}, ...pieces(name)), this.kind, this.value);
  }

  /** JSON of the condition; empty if any value will do. */
  condition() {
    const field = `/${this.name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    switch (this.kind.value) {
      case 'is':
        return withExact({ field }, 'equals', this.text);
      case 'is at most':
        return JSON.stringify({ field, at_most: this.text });
      case 'is at least':
        return JSON.stringify({ field, at_least: this.text });
      default:
        return '';
    }
  }
}
