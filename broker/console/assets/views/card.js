// A held call, and the two steps in which a person decides on it.

import { ApiError, now } from '../api.js';
import { foreign, h, setAttribute, setForeign, setText, show } from '../render.js';
import { ago, span } from '../time.js';
import { jsonView } from './json.js';
import { chip, digestView, parties, reasonList } from './parts.js';
import { endingOf } from './words.js';

/**
 * @typedef {import('../types.js').HeldCall} HeldCall
 * @typedef {(call: HeldCall, verdict: 'approve'|'deny', reason: string) => Promise<void>} Decide
 */

/** How long after a card or a question appears nothing on it can be set off, in ms. */
const ARMING = 400;
const SOON = 60_000;

let serial = 0;

export class Card {
  /**
   * @param {HeldCall} call
   * @param {{decide: Decide, viewer: () => string, link?: boolean}} options
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
    this.args = call.arguments ? jsonView(call.arguments.text, `exact arguments of ${call.tool}`) : null;
    this.steps = new Steps(this, id);
    this.element = h('article', { class: 'card', tabindex: -1, 'aria-labelledby': id, 'data-call': call.call_id },
      h('header', {}, h('h2', { id }, foreign(call.tool)), this.status, this.deadline),
      h('p', { class: 'who' }, 'For ', parties(call), call.client ? h('small', {}, ' calling itself ', foreign(call.client), ', not verified') : null),
      h('div', { class: 'why' }, h('h3', {}, 'Stopped by'), reasonList(call.reasons.filter((r) => r.effect !== 'permit'))),
      h('div', { class: 'arguments' }, h('h3', {}, 'Exact arguments'),
        this.args ? this.args.element : h('p', { class: 'muted' }, call.arguments_erased ? 'They have been erased.' : 'They are not for you to see.')),
      h('p', { class: 'digest-line' }, 'Digest ', digestView(call.digest)),
      this.votes, h('p', { class: 'ended' }, this.ending), this.steps.element, this.error,
      options.link === false ? null : h('p', { class: 'more' }, h('a', { href: `#/calls/${encodeURIComponent(call.call_id)}` }, 'Everything about this call')));
    this.update(call);
  }

  /** @param {HeldCall} call */
  update(call) {
    this.call = call;
    const waits = call.state === 'held';
    setAttribute(this.element, 'data-state', call.state);
    this.status.replaceChildren(...(waits ? [] : [chip(call)]));
    const voters = call.votes.map((v) => v.by).join(', ');
    const roles = call.approvers.length > 0 ? `Waits for ${call.approvers.join(' or ')}` : 'Waits for approval';
    setForeign(this.votes, voters ? `${roles}. Approved so far by ${voters}.` : `${roles}.`);
    show(this.votes, waits);
    this.steps.update();
    this.tick();
  }

  /** Brings the times up to date. */
  tick() {
    const waits = this.call.state === 'held';
    const left = Date.parse(this.call.expires ?? '') - now();
    show(this.deadline, waits && !Number.isNaN(left));
    if (waits) setText(this.deadline, left > 0 ? `${span(left)} left` : 'time is up');
    this.deadline.classList.toggle('soon', left < SOON);
    if (!waits) setForeign(this.ending, endingOf(this.call, now()));
    show(/** @type {HTMLElement} */ (this.ending.parentElement), !waits);
  }

  voted() {
    return this.call.votes.find((v) => v.by === this.options.viewer());
  }

  armed() {
    return performance.now() - Math.max(this.shownAt, this.steps.askedAt) >= ARMING;
  }

  /**
   * @param {'approve'|'deny'} verdict
   * @param {string} reason
   */
  async decide(verdict, reason) {
    if (this.busy || !this.armed()) return;
    this.busy = true;
    setText(this.error, '');
    this.steps.update();
    try {
      await this.options.decide(this.call, verdict, reason);
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

/** The questions of a card: nothing yet, "approve this?", or "why not?". */
class Steps {
  /**
   * @param {Card} card
   * @param {string} id of the card's heading
   */
  constructor(card, id) {
    this.card = card;
    this.asking = '';
    this.askedAt = 0;
    const button = (/** @type {string} */ text, /** @type {string} */ kind, /** @type {() => void} */ onclick) =>
      h('button', { type: 'button', class: kind, onclick }, text);
    this.approve = button('Approve…', 'approve', () => this.ask('approve'));
    this.deny = button('Deny…', 'deny', () => this.ask('deny'));
    this.whyNot = h('p', { class: 'muted' });
    this.first = h('div', { class: 'actions' }, this.approve, this.deny, this.whyNot);
    this.note = h('input', { id: `${id}-note`, type: 'text', maxlength: 1000, autocomplete: 'off' });
    this.yes = button('Yes, approve', 'primary', () => this.confirm());
    this.confirming = h('div', { class: 'question', role: 'group', tabindex: -1, 'aria-labelledby': `${id}-sure` },
      h('p', { id: `${id}-sure`, class: 'ask' }, 'Approve ', foreign(card.call.tool), ' with exactly the arguments above? It runs at once when enough people have.'),
      h('label', { for: `${id}-note` }, 'Note for the record (optional)'), this.note,
      h('div', { class: 'actions' }, this.yes, h('kbd', {}, 'y'), button('Back', 'quiet', () => this.cancel())));
    this.reason = h('textarea', { id: `${id}-reason`, rows: 3, maxlength: 1000, required: true, onkeydown: (/** @type {KeyboardEvent} */ e) => this.#send(e) });
    this.no = h('button', { type: 'submit', class: 'danger' }, 'Deny');
    this.denying = h('form', { class: 'question', onsubmit: (/** @type {Event} */ e) => this.#submit(e) },
      h('label', { for: `${id}-reason` }, 'Why not? The agent gets this as the answer.'), this.reason,
      h('div', { class: 'actions' }, this.no, button('Back', 'quiet', () => this.cancel())));
    this.element = h('div', { class: 'steps' }, this.first, this.confirming, this.denying);
  }

  update() {
    const { call, busy } = this.card;
    const open = call.state === 'held';
    if (!open) this.asking = '';
    const voted = this.card.voted();
    show(this.element, open);
    show(this.approve, call.may_vote && !voted);
    show(this.deny, call.may_vote);
    show(this.whyNot, !call.may_vote || Boolean(voted));
    setForeign(this.whyNot, voted ? `You approved ${ago(voted.at, now())}.` : (call.why_not ?? ''));
    show(this.first, this.asking === '');
    show(this.confirming, this.asking === 'approve');
    show(this.denying, this.asking === 'deny');
    for (const b of [this.yes, this.no]) b.disabled = busy;
    setText(this.yes, busy ? 'Sending…' : 'Yes, approve');
    setText(this.no, busy ? 'Sending…' : 'Deny');
  }

  /** @param {''|'approve'|'deny'} what */
  ask(what) {
    const { call } = this.card;
    if (what && (call.state !== 'held' || !call.may_vote || this.card.busy || (what === 'approve' && this.card.voted()))) return;
    if (what === this.asking || (what && !this.card.armed())) return;
    this.asking = what;
    this.askedAt = performance.now();
    setText(this.card.error, '');
    if (what === 'approve') this.card.args?.open();
    this.update();
    if (what === 'approve') this.confirming.focus();
    if (what === 'deny') this.reason.focus();
  }

  cancel() {
    const back = this.asking === 'deny' ? this.deny : this.approve;
    this.ask('');
    back.focus();
  }

  confirm() {
    if (this.asking === 'approve') void this.card.decide('approve', this.note.value.trim());
  }

  /** @param {Event} e */
  #submit(e) {
    e.preventDefault();
    const reason = this.reason.value.trim();
    if (reason) void this.card.decide('deny', reason);
    else this.reason.focus();
  }

  /** @param {KeyboardEvent} e */
  #send(e) {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) this.denying.requestSubmit();
  }
}
