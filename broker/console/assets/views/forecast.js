// What a call would change, found out by a dry run when somebody wants to know.

import { ApiError } from '../api.js';
import { textChanges, unified } from '../diff.js';
import { foreign, h, setForeign, setText, show } from '../render.js';
import { diffView } from './edit.js';

/** @typedef {import('../types.js').Forecast} Told */

export class Forecast {
  /** @param {import('./card.js').Card} card */
  constructor(card) {
    this.card = card;
    this.turn = 0;
    this.button = h('button', { type: 'button', class: 'foresee', onclick: () => void this.run() }, 'What would it change?');
    this.told = h('div', { role: 'status', class: 'forecast-told' });
    this.error = h('p', { role: 'alert', class: 'error' });
    this.element = h('div', { class: 'forecast' }, this.button, this.told, this.error);
  }

  update() {
    const { call } = this.card;
    show(this.element, call.state === 'held' && Boolean(call.dry_run));
  }

  /** Forgets what was found out: the call is another now. */
  forget() {
    this.turn++;
    this.told.replaceChildren();
    setText(this.error, '');
    this.#idle();
  }

  async run() {
    const { call, options } = this.card;
    if (!call.dry_run || this.button.disabled) return;
    const mine = ++this.turn;
    this.button.disabled = true;
    setText(this.button, 'Finding out…');
    setText(this.error, '');
    try {
      const told = await options.forecast(call);
      if (mine === this.turn) this.told.replaceChildren(...forecast(told));
    } catch (e) {
      if (mine === this.turn) setForeign(this.error, e instanceof ApiError ? e.message : 'The page failed to find out. Load it again.');
    }
    if (mine === this.turn) this.#idle();
  }

  #idle() {
    this.button.disabled = false;
    setText(this.button, this.told.firstChild ? 'Find out again' : 'What would it change?');
  }
}

/**
 * @param {Told} f
 * @returns {HTMLElement[]}
 */
function forecast(f) {
  const source = (/** @type {string} */ how) => h('p', { class: 'muted' }, how, ' by ', h('code', {}, foreign(f.tool)), ', whose words nobody has verified. The call itself still waits.');
  const title = h('h3', {}, 'What it would change');
  const rest = f.truncated ? h('p', { class: 'fold-note' }, 'There is more than is shown here.') : null;
  /** @type {(HTMLElement|null)[]} */
  const parts = f.against === undefined ? [title, source('Said in a dry run'), diffView(unified(f.text))]
    : f.failed ? [title, source('There is nothing to compare with: said'), diffView(unified(f.text)), h('h3', {}, 'What would be there'), diffView(f.against.split('\n').map((text) => ({ kind: 'new', text })))]
      : compared(f.text, f.against, title, source('Compared with what there is now, as told'));
  return [...parts, rest].filter((p) => p !== null);
}

/**
 * @param {string} before
 * @param {string} after
 * @param {HTMLElement} title
 * @param {HTMLElement} source
 */
function compared(before, after, title, source) {
  if (before === after) return [title, h('p', {}, 'Nothing: it is there as the call would have it.'), source];
  return [title, source, diffView(textChanges(before, after))];
}
