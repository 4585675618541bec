// A held call, with the facts that a person decides on.

import { ApiError, now } from '../api.js';
import { foreign, h, setAttribute, setForeign, setText, show } from '../render.js';
import { span } from '../time.js';
import { showEdits } from './edit.js';
import { Forecast } from './forecast.js';
import { hints, precedents, quorum, said, since } from './facts.js';
import { jsonView } from './json.js';
import { chip, digestView, parties, reasonList } from './parts.js';
import { Steps } from './steps.js';
import { asSentence, endingOf } from './words.js';

/**
 * @typedef {import('../types.js').HeldCall} HeldCall
 *
 * What a card does through the page; each fails with an ApiError.
 * @typedef {object} Deciding
 * @property {(call: HeldCall, verdict: 'approve'|'deny', reason: string) => Promise<void>} decide
 * @property {(call: HeldCall, args: string, reason: string) => Promise<void>} edit
 * @property {(call: HeldCall, body: string) => Promise<void>} grant
 * @property {(call: HeldCall) => Promise<import('../types.js').Forecast>} forecast what it would change
 * @property {(agent: string, reason: string) => Promise<void>} stop
 * @property {() => string} viewer
 * @property {(call: HeldCall) => number} alike how many calls can be decided together with it, itself included
 */

/** How long after a card or a question appears nothing on it can be set off, in ms. */
const ARMING = 400;
const SOON = 60_000;

let serial = 0;

export class Card {
  /**
   * @param {HeldCall} call
   * @param {Deciding & {link?: boolean}} options
   */
  constructor(call, options) {
    this.call = call;
    this.options = options;
    this.busy = false;
    this.shownAt = performance.now();
    const id = `call-${++serial}`;
    this.deadline = h('span', { class: 'deadline' });
    this.status = h('span', { class: 'status' });
    this.votes = h('p', { class: 'votes' });
    this.ending = foreign('', { class: 'ending', multiline: false });
    this.error = h('p', { class: 'error', role: 'alert' });
    this.sentence = h('p', { class: 'sentence' });
    this.edits = h('div', { class: 'edits' });
    this.arguments = h('div', { class: 'arguments' });
    this.digest = h('p', { class: 'digest-line' });
    this.precedents = h('p', { class: 'precedents' });
    this.others = h('a', { href: '#/' });
    this.forecast = new Forecast(this);
    this.steps = new Steps(this, id);
    this.element = h('article', { class: 'card', tabindex: -1, 'aria-labelledby': id, 'data-call': call.call_id },
      h('header', {}, h('h2', { id }, foreign(call.tool)), this.status, hints(call.annotations), this.deadline),
      this.sentence,
      h('p', { class: 'who' }, 'For ', parties(call), call.client ? h('small', {}, ' calling itself ', foreign(call.client), ', not verified') : null),
      h('div', { class: 'why' }, h('h3', {}, 'Stopped by'), reasonList(call.reasons.filter((r) => r.effect !== 'permit'))),
      said(call.justification), this.precedents,
      this.edits, this.arguments, this.forecast.element, this.digest,
      this.votes, h('p', { class: 'ended' }, this.ending), this.steps.element, this.error,
      h('p', { class: 'more' }, options.link === false ? null : h('a', { href: `#/calls/${encodeURIComponent(call.call_id)}` }, 'Everything about this call'),
        since(call), this.others));
    this.put(call);
    this.update(call);
  }

  /**
   * Shows what the call would do. When that is something else than before, nothing
   * that was about to be decided is.
   * @param {HeldCall} call
   */
  put(call) {
    const { sentence } = call;
    this.shown = call.digest;
    this.shownAt = performance.now();
    this.args = call.arguments ? jsonView(call.arguments.text, `exact arguments of ${call.tool}`) : null;
    this.arguments.replaceChildren(h('h3', {}, 'Exact arguments'),
      this.args ? this.args.element : h('p', { class: 'muted' }, call.arguments_erased ? 'They have been erased.' : asSentence(call.withheld?.arguments ?? 'they are not shown')));
    this.digest.replaceChildren('Digest ', digestView(call.digest));
    this.sentence.replaceChildren(...(sentence?.parts ?? []).map((p) => foreign(p.text, { class: p.field ? 'foreign argument' : 'foreign' })));
    show(this.sentence, Boolean(sentence));
    this.forecast.forget();
    showEdits(this.edits, call);
  }

  /** @param {HeldCall} call */
  update(call) {
    this.call = call;
    if (call.arguments && (call.digest !== this.shown || !this.args)) {
      this.steps.ask('');
      this.put(call);
    }
    const waits = call.state === 'held';
    setAttribute(this.element, 'data-state', call.state);
    this.status.replaceChildren(...(waits ? [] : [chip(call)]));
    setForeign(this.votes, quorum(call));
    show(this.votes, waits);
    setText(this.precedents, precedents(call));
    show(this.precedents, waits && Boolean(call.precedents));
    this.forecast.update();
    this.steps.update();
    this.tick();
  }

  /** Brings up to date what depends on the time, and on other calls. */
  tick() {
    const waits = this.call.state === 'held';
    const left = Date.parse(this.call.expires ?? '') - now();
    show(this.deadline, waits && !Number.isNaN(left));
    if (waits) setText(this.deadline, left > 0 ? `${span(left)} left` : 'time is up');
    this.deadline.classList.toggle('soon', left < SOON);
    const alike = waits && this.call.may_vote ? this.options.alike(this.call) : 0;
    show(this.others, alike > 1);
    if (alike > 1) {
      setAttribute(this.others, 'href', `#/alike/${encodeURIComponent(this.call.alike ?? '')}`);
      setText(this.others, `Decide on ${alike} alike`);
    }
    if (!waits) setForeign(this.ending, endingOf(this.call, now()));
    show(/** @type {HTMLElement} */ (this.ending.parentElement), !waits);
  }

  voted() {
    return this.call.votes.find((v) => v.by === this.options.viewer());
  }

  armed() {
    return performance.now() - Math.max(this.shownAt, this.steps.askedAt) >= ARMING;
  }

  /** @param {() => Promise<void>} request */
  async send(request) {
    if (this.busy || !this.armed()) return;
    this.busy = true;
    setText(this.error, '');
    this.steps.update();
    try {
      await request();
      this.steps.ask('');
      this.element.focus();
    } catch (e) {
      setForeign(this.error, e instanceof ApiError ? e.message : 'The page failed to send it. Load it again.');
    } finally {
      this.busy = false;
      this.steps.update();
    }
  }
}
