// Whether the events of a call are in the log, as they are shown, and what the call was made
// with is what they commit to: checked by this browser.

import { ApiError, api } from '../api.js';
import { NotProved, prove } from '../proof.js';
import { foreign, h, setAttribute, setForeign, setText, show } from '../render.js';
import { fullTime } from '../time.js';
import { OtherKey, pinned, trust, trusted } from '../trust.js';
import { checkPayloads } from './payloads.js';

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
    /** @type {import('../types.js').CallDetail|undefined} */
    this.call = undefined;
    this.told = h('p', { role: 'status', class: 'proof-told' });
    this.forged = h('p', {});
    this.unproved = h('p', {});
    this.wrong = h('div', { role: 'alert', class: 'error alarm' }, this.forged, this.unproved); // to stand where nobody overlooks it
    this.payloads = h('ul', { class: 'payloads' });
    this.key = h('code', { class: 'digest' });
    this.since = h('p', { class: 'muted' });
    this.given = h('input', { id: 'given-key', type: 'text', autocomplete: 'off', spellcheck: 'false', maxlength: 500, required: true });
    this.answer = h('p', { role: 'status', class: 'muted' });
    const form = h('form', { class: 'given', onsubmit: (/** @type {Event} */ e) => void this.#give(e) },
      h('label', { for: 'given-key' }, 'The key that you were given'), this.given, h('div', { class: 'actions' }, h('button', { type: 'submit' }, 'Compare, and trust that one')), this.answer);
    this.details = h('details', {}, h('summary', {}, 'The key that this browser trusts'), h('div', { class: 'inside' }, h('p', {}, this.key), this.since,
      h('p', { class: 'muted' }, 'Compare it with what whoever runs the broker has given you: it is in keys/checkpoints.pub of its data. This page comes from the broker too: who does not trust it checks an export with deed verify.'), form));
    this.element = h('section', { class: 'proof', 'aria-labelledby': 'proof-title' }, h('h2', { id: 'proof-title' }, 'Proof'), this.told, this.payloads, this.details);
    show(this.element, false);
  }

  /**
   * Checks these events from now on, in place of those before, and what they commit to of a call.
   * @param {Shown[]} events
   * @param {import('../types.js').CallDetail} call
   */
  check(events, call) {
    this.events = events;
    this.call = call;
    show(this.element, events.length > 0);
    if (events.length === 0) return;
    const turn = ++this.turn;
    void this.#check(turn, TRIES);
    void this.#committed(turn, call);
  }

  /**
   * @param {number} turn
   * @param {import('../types.js').CallDetail} call
   */
  async #committed(turn, call) {
    /** @type {Pick<import('./payloads.js').Checked, 'state'|'why'>[]} */
    let checked;
    try {
      checked = await checkPayloads(call);
    } catch (e) {
      checked = [{ state: 'bad', why: `What it was made with was not checked: ${reason(e)}` }];
    }
    if (turn !== this.turn) return;
    const words = { proved: ['checked', 'good'], bad: ['not proved', 'bad'], gone: ['not shown', 'muted'] };
    this.payloads.replaceChildren(...checked.map(({ state, why }) => h('li', { 'data-state': state },
      h('span', { class: `proof-mark ${words[state][1]}` }, words[state][0]), ' ', foreign(why))));
    setForeign(this.forged, checked.filter((c) => c.state === 'bad').map((c) => c.why).join(' '));
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
    setForeign(this.unproved, e instanceof OtherKey ? `${e.message} Either the key was changed without a rotation, or this is not the history that you saw before. Ask whoever runs the broker, and not the broker.` : reason(e));
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
    setText(this.unproved, bad > 0 ? `${bad} of ${found.length} events ${bad === 1 ? 'is' : 'are'} not what the log was signed with. See the timeline.` : '');
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
      if (this.call) this.check(this.events, this.call);
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
