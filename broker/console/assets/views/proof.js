// Whether the events of a call are in the log, as they are shown: checked by this browser.

import { ApiError, api } from '../api.js';
import { NotProved, prove } from '../proof.js';
import { h, setAttribute, setForeign, setText, show } from '../render.js';
import { fullTime } from '../time.js';
import { OtherKey, pinned, trust, trusted } from '../trust.js';

/** How often, and how soon, what is not sealed yet is looked at again. */
const TRIES = 40;
const AGAIN = 1500;

/** @typedef {{position: string, event: import('../types.js').Exact, mark: HTMLElement}} Shown an event on the page, and where its proof is told */

const HOW = { met: 'It was the first that this browser met.', given: 'Somebody gave it to this browser.', rotated: 'The key that was trusted before it signed that it takes its place.' };

export class Proof {
  constructor() {
    this.turn = 0;
    /** @type {Shown[]} */
    this.events = [];
    this.told = h('p', { role: 'status', class: 'proof-told' });
    this.wrong = h('p', { role: 'alert', class: 'error alarm' }); // to stand where nobody overlooks it
    this.key = h('code', { class: 'digest' });
    this.since = h('p', { class: 'muted' });
    this.given = h('input', { id: 'given-key', type: 'text', autocomplete: 'off', spellcheck: 'false', maxlength: 500, required: true });
    this.answer = h('p', { role: 'status', class: 'muted' });
    const form = h('form', { class: 'given', onsubmit: (/** @type {Event} */ e) => void this.#give(e) },
      h('label', { for: 'given-key' }, 'The key that you were given'), this.given, h('div', { class: 'actions' }, h('button', { type: 'submit' }, 'Compare, and trust that one')), this.answer);
    this.details = h('details', {}, h('summary', {}, 'The key that this browser trusts'), h('div', { class: 'inside' }, h('p', {}, this.key), this.since,
      h('p', { class: 'muted' }, 'Compare it with what whoever runs the broker has given you: it is in keys/checkpoints.pub of its data. This page comes from the broker too: who does not trust it checks an export with deed verify.'), form));
    this.element = h('section', { class: 'proof', 'aria-labelledby': 'proof-title' }, h('h2', { id: 'proof-title' }, 'Proof'), this.told, this.details);
    show(this.element, false);
  }

  /**
   * Checks these events from now on, in place of those before.
   * @param {Shown[]} events
   */
  check(events) {
    this.events = events;
    show(this.element, events.length > 0);
    if (events.length > 0) void this.#check(++this.turn, TRIES);
  }

  /**
   * @param {number} turn
   * @param {number} tries that are left
   */
  async #check(turn, tries) {
    const { events } = this;
    if (!this.told.textContent) setText(this.told, 'Checking…');
    let key;
    try {
      key = await this.#key();
    } catch (e) {
      if (turn === this.turn) this.#none(e);
      return;
    }
    const found = await Promise.all(events.map((e) => proofOf(e, key)));
    if (turn !== this.turn) return;
    events.forEach(({ mark }, i) => tell(mark, found[i]));
    this.#summary(found, key.name);
    if (found.some((f) => f.state === 'open') && tries > 1) setTimeout(() => turn === this.turn && this.told.isConnected && void this.#check(turn, tries - 1), AGAIN);
  }

  async #key() {
    if (!globalThis.crypto?.subtle) throw new NotProved('A browser checks proofs only on pages that come over https.');
    try {
      return await trusted(await api.keys());
    } finally {
      this.#showKey();
    }
  }

  /** @param {unknown} e why nothing can be checked */
  #none(e) {
    for (const { mark } of this.events) tell(mark, { state: 'open', why: 'not checked' });
    setText(this.told, 'Nothing is proved.');
    setAttribute(this.element, 'data-proof', e instanceof OtherKey ? 'other-key' : 'none');
    if (e instanceof OtherKey) this.details.open = true;
    setForeign(this.wrong, e instanceof OtherKey ? `${e.message} Either the key was changed without a rotation, or this is not the history that you saw before. Ask whoever runs the broker, and not the broker.` : reason(e));
  }

  /**
   * @param {Found[]} found
   * @param {string} name of the key
   */
  #summary(found, name) {
    const good = found.filter((f) => f.state === 'proved');
    const bad = found.filter((f) => f.state === 'bad').length;
    const open = found.length - good.length - bad;
    const size = Math.max(0, ...good.map((f) => f.size ?? 0));
    const what = good.length === found.length ? (found.length === 1 ? 'Its one event is' : `All ${found.length} events are`) : `${good.length} of ${found.length} events ${good.length === 1 ? 'is' : 'are'}`;
    const by = good.length > 0 ? `, by the checkpoint at ${size.toLocaleString()} records that ${name} signed` : '';
    setForeign(this.told, open === found.length ? 'Not sealed yet, or not to be had: the log is signed about once a second, and this page looks again.' : `${what} in the log as shown here${by}. This browser has checked it.${open > 0 ? ` ${open} not sealed yet.` : ''}`);
    setText(this.wrong, bad > 0 ? `${bad} of ${found.length} events ${bad === 1 ? 'is' : 'are'} not what the log was signed with. See the timeline.` : '');
    setAttribute(this.element, 'data-proof', bad > 0 ? 'bad' : open > 0 ? 'open' : 'proved');
  }

  #showKey() {
    const pin = pinned();
    setForeign(this.key, pin?.key ?? 'none yet');
    setText(this.since, pin ? `Since ${fullTime(pin.since)}. ${HOW[pin.how] ?? ''}` : '');
  }

  /** @param {Event} e */
  async #give(e) {
    e.preventDefault();
    const same = pinned()?.key === this.given.value.trim();
    try {
      await trust(this.given.value);
      setText(this.answer, same ? 'It is the key that was trusted already.' : 'It is another key than before. It is trusted from now on, and no other.');
      this.given.value = '';
      this.check(this.events);
    } catch (e) {
      setText(this.answer, reason(e));
    }
  }
}

/** @typedef {{state: 'proved'|'open'|'bad', why: string, size?: number}} Found */

/**
 * @param {Shown} shown
 * @param {import('../proof.js').Verifier} key
 * @returns {Promise<Found>}
 */
async function proofOf(shown, key) {
  try {
    const { size } = await prove(shown.event.text, shown.position, await api.inclusion(shown.position), key);
    return { state: 'proved', why: 'proved', size };
  } catch (e) {
    if (e instanceof ApiError && e.status === 409) return { state: 'open', why: 'not sealed yet' };
    if (e instanceof ApiError && e.status !== 404) return { state: 'open', why: `not checked: ${e.message}` };
    return { state: 'bad', why: `not proved: ${reason(e)}` };
  }
}

/** @param {unknown} e */
function reason(e) {
  if (e instanceof NotProved || e instanceof ApiError) return e.message;
  if (e instanceof DOMException && e.name === 'NotSupportedError') return 'This browser cannot check Ed25519 signatures: deed verify can.';
  return 'The page failed to check it.';
}

/**
 * @param {HTMLElement} mark
 * @param {Found} found
 */
function tell(mark, { state, why }) {
  setAttribute(mark, 'class', `proof-mark ${{ proved: 'good', open: 'muted', bad: 'bad' }[state]}`);
  setForeign(mark, why);
}
