// A held call, and the two steps in which a person decides on it.

import { ApiError, now } from '../api.js';
import { foreign, h, setAttribute, setForeign, setText, show } from '../render.js';
import { ago, span } from '../time.js';
import { EditStep, showEdits } from './edit.js';
import { GrantStep } from './grant.js';
import { jsonView } from './json.js';
import { chip, digestView, parties, reasonList } from './parts.js';
import { endingOf } from './words.js';

/**
 * @typedef {import('../types.js').HeldCall} HeldCall
 * @typedef {'approve'|'deny'|'edit'|'grant'} Question
 *
 * What a card does through the page; each fails with an ApiError.
 * @typedef {object} Deciding
 * @property {(call: HeldCall, verdict: 'approve'|'deny', reason: string) => Promise<void>} decide
 * @property {(call: HeldCall, args: string, reason: string) => Promise<void>} edit
 * @property {(call: HeldCall, body: string) => Promise<void>} grant
 * @property {(agent: string, reason: string) => Promise<void>} stop
 * @property {() => string} viewer
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
    this.steps = new Steps(this, id);
    this.element = h('article', { class: 'card', tabindex: -1, 'aria-labelledby': id, 'data-call': call.call_id },
      h('header', {}, h('h2', { id }, foreign(call.tool)), this.status, this.deadline),
      this.sentence,
      h('p', { class: 'who' }, 'For ', parties(call), call.client ? h('small', {}, ' calling itself ', foreign(call.client), ', not verified') : null),
      h('div', { class: 'why' }, h('h3', {}, 'Stopped by'), reasonList(call.reasons.filter((r) => r.effect !== 'permit'))),
      this.edits, this.arguments, this.digest,
      this.votes, h('p', { class: 'ended' }, this.ending), this.steps.element, this.error,
      options.link === false ? null : h('p', { class: 'more' }, h('a', { href: `#/calls/${encodeURIComponent(call.call_id)}` }, 'Everything about this call')));
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
      this.args ? this.args.element : h('p', { class: 'muted' }, call.arguments_erased ? 'They have been erased.' : 'They are not for you to see.'));
    this.digest.replaceChildren('Digest ', digestView(call.digest));
    this.sentence.replaceChildren(...(sentence?.parts ?? []).map((p) => (p.field ? foreign(p.text, { class: 'foreign argument', multiline: false }) : h('span', {}, p.text))));
    show(this.sentence, Boolean(sentence));
    showEdits(this.edits, call);
  }

  /** @param {HeldCall} call */
  update(call) {
    this.call = call;
    if (call.digest !== this.shown && call.arguments) {
      this.steps.ask('');
      this.put(call);
    }
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

/** The questions of a card: nothing yet, "approve this?", "why not?", "with what instead?", "which others?". */
class Steps {
  /**
   * @param {Card} card
   * @param {string} id of the card's heading
   */
  constructor(card, id) {
    this.card = card;
    /** @type {''|Question} */
    this.asking = '';
    this.askedAt = 0;
    const button = (/** @type {string} */ text, /** @type {string} */ kind, /** @type {() => void} */ onclick) =>
      h('button', { type: 'button', class: kind, onclick }, text);
    this.approve = button('Approve…', 'approve', () => this.ask('approve'));
    this.deny = button('Deny…', 'deny', () => this.ask('deny'));
    this.change = button('Change…', 'quiet', () => this.ask('edit'));
    this.others = button('Allow more like it…', 'quiet', () => this.ask('grant'));
    this.whyNot = h('p', { class: 'muted' });
    this.stronger = h('a', { class: 'button' }, 'Log in more strongly to decide');
    this.first = h('div', { class: 'actions' }, this.approve, this.deny, this.change, this.others, this.whyNot, this.stronger);
    this.editing = new EditStep(card, id, () => this.cancel());
    this.granting = new GrantStep(card, id, () => this.cancel());
    this.note = h('input', { id: `${id}-note`, type: 'text', maxlength: 1000, autocomplete: 'off' });
    this.yes = button('Yes, approve', 'primary', () => this.confirm());
    this.confirming = h('div', { class: 'question', role: 'group', tabindex: -1, 'aria-labelledby': `${id}-sure` },
      h('p', { id: `${id}-sure`, class: 'ask' }, 'Approve ', foreign(card.call.tool), ' with exactly the arguments above? It runs at once when enough people have.'),
      h('label', { for: `${id}-note` }, 'Note for the record (optional)'), this.note,
      h('div', { class: 'actions' }, this.yes, h('kbd', {}, 'y'), button('Back', 'quiet', () => this.cancel())));
    this.reason = h('textarea', { id: `${id}-reason`, rows: 3, maxlength: 1000, required: true, onkeydown: (/** @type {KeyboardEvent} */ e) => this.#send(e) });
    this.no = h('button', { type: 'submit', class: 'danger' }, 'Deny');
    this.stop = h('input', { id: `${id}-stop`, type: 'checkbox' });
    this.stopping = h('p', { class: 'choice' }, this.stop, h('label', { for: `${id}-stop` }, 'and stop the agent ', foreign(card.call.actor), ' for everybody, for the same reason'));
    show(this.stopping, card.call.actor !== '');
    this.denying = h('form', { class: 'question', onsubmit: (/** @type {Event} */ e) => this.#submit(e) },
      h('label', { for: `${id}-reason` }, 'Why not? The agent gets this as the answer.'), this.reason, this.stopping,
      h('div', { class: 'actions' }, this.no, button('Back', 'quiet', () => this.cancel())));
    this.element = h('div', { class: 'steps' }, this.first, this.confirming, this.denying, this.editing.element, this.granting.element);
  }

  update() {
    const { call, busy } = this.card;
    const open = call.state === 'held';
    if (!open) this.asking = '';
    const voted = this.card.voted();
    show(this.element, open);
    show(this.approve, call.may_vote && !voted);
    show(this.deny, call.may_vote);
    show(this.change, call.may_vote && Boolean(call.arguments));
    show(this.others, call.may_vote && !voted && Boolean(call.arguments) && !call.edits?.length);
    show(this.whyNot, !call.may_vote || Boolean(voted));
    show(this.stronger, Boolean(call.step_up));
    setAttribute(this.stronger, 'href', `/login?acr=${encodeURIComponent(call.step_up ?? '')}&next=${encodeURIComponent(location.hash.slice(1))}`);
    setForeign(this.whyNot, voted ? `You approved ${ago(voted.at, now())}.` : (call.why_not ?? ''));
    show(this.first, this.asking === '');
    show(this.confirming, this.asking === 'approve');
    show(this.denying, this.asking === 'deny');
    show(this.editing.element, this.asking === 'edit');
    show(this.granting.element, this.asking === 'grant');
    this.editing.update(busy);
    this.granting.update(busy);
    for (const b of [this.yes, this.no]) b.disabled = busy;
    setText(this.yes, busy ? 'Sending…' : 'Yes, approve');
    setText(this.no, busy ? 'Sending…' : 'Deny');
  }

  /** @param {''|Question} what */
  ask(what) {
    const { call } = this.card;
    if (what && (call.state !== 'held' || !call.may_vote || this.card.busy || this.#pointless(what))) return;
    if (what === this.asking || (what && !this.card.armed())) return;
    this.asking = what;
    this.askedAt = performance.now();
    setText(this.card.error, '');
    if (what === 'approve') this.card.args?.open();
    this.update();
    if (what === 'approve') this.confirming.focus();
    if (what === 'deny') this.reason.focus();
    if (what === 'edit') this.editing.open();
    if (what === 'grant') this.granting.open();
  }

  /** @param {Question} what */
  #pointless(what) {
    const { call } = this.card;
    if (what === 'edit') return !call.arguments;
    if (what === 'grant') return Boolean(this.card.voted()) || !call.arguments || Boolean(call.edits?.length);
    return what === 'approve' && Boolean(this.card.voted());
  }

  cancel() {
    const back = { approve: this.approve, deny: this.deny, edit: this.change, grant: this.others }[this.asking || 'approve'];
    this.ask('');
    back.focus();
  }

  confirm() {
    if (this.asking === 'approve') void this.card.send(() => this.card.options.decide(this.card.call, 'approve', this.note.value.trim()));
  }

  /** @param {Event} e */
  #submit(e) {
    e.preventDefault();
    const reason = this.reason.value.trim();
    if (reason) void this.card.send(() => this.#deny(reason));
    else this.reason.focus();
  }

  /** @param {string} reason */
  async #deny(reason) {
    const { call, options } = this.card;
    await options.decide(call, 'deny', reason);
    if (this.stop.checked) await options.stop(call.actor, reason);
  }

  /** @param {KeyboardEvent} e */
  #send(e) {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) this.denying.requestSubmit();
  }
}
