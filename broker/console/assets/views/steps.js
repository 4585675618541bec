// The questions of a card: nothing yet, "approve this?", "why not?", "with what instead?",
// "which others?". Each is made when it is first asked: of a thousand cards few ever are.

import { foreign, h, setAttribute, setForeign, setText, show } from '../render.js';
import { ago } from '../time.js';
import { now } from '../api.js';
import { EditStep } from './edit.js';
import { GrantStep } from './grant.js';

/** @typedef {'approve'|'deny'|'edit'|'grant'} Question */

export class Steps {
  /**
   * @param {import('./card.js').Card} card
   * @param {string} id of the card's heading
   */
  constructor(card, id) {
    this.card = card;
    this.id = id;
    /** @type {''|Question} */
    this.asking = '';
    this.askedAt = 0;
    this.approve = button('Approve…', 'approve', () => this.ask('approve'));
    this.deny = button('Deny…', 'deny', () => this.ask('deny'));
    this.change = button('Change…', 'quiet', () => this.ask('edit'));
    this.others = button('Allow more like it…', 'quiet', () => this.ask('grant'));
    this.whyNot = h('p', { class: 'muted' });
    this.stronger = h('a', { class: 'button' }, 'Log in more strongly to decide');
    this.first = h('div', { class: 'actions' }, this.approve, this.deny, this.change, this.others, this.whyNot, this.stronger);
    /** @type {Partial<Record<Question, {element: HTMLElement, open: () => void, update: (busy: boolean) => void, confirm?: () => void}>>} */
    this.questions = {};
    this.element = h('div', { class: 'steps' }, this.first);
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
    for (const [what, question] of Object.entries(this.questions)) {
      show(question.element, what === this.asking);
      question.update(busy);
    }
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
    if (what) this.#question(what);
    this.update();
    if (what) this.#question(what).open();
  }

  /** @param {Question} what */
  #question(what) {
    let question = this.questions[what];
    if (!question) {
      const back = () => this.cancel();
      question = what === 'approve' ? new ApproveStep(this.card, this.id, back) : what === 'deny' ? new DenyStep(this.card, this.id, back)
        : what === 'edit' ? new EditStep(this.card, this.id, back) : new GrantStep(this.card, this.id, back);
      this.questions[what] = question;
      this.element.append(question.element);
    }
    return question;
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
    if (this.asking === 'approve') this.questions.approve?.confirm?.();
  }
}

class ApproveStep {
  /**
   * @param {import('./card.js').Card} card
   * @param {string} id of the card's heading
   * @param {() => void} back
   */
  constructor(card, id, back) {
    this.card = card;
    this.note = h('input', { id: `${id}-note`, type: 'text', maxlength: 1000, autocomplete: 'off' });
    this.yes = button('Yes, approve', 'primary', () => this.confirm());
    this.element = h('div', { class: 'question', role: 'group', tabindex: -1, 'aria-labelledby': `${id}-sure` },
      h('p', { id: `${id}-sure`, class: 'ask' }, 'Approve ', foreign(card.call.tool), ' with exactly the arguments above? It runs at once when enough people have.'),
      h('label', { for: `${id}-note` }, 'Note for the record (optional)'), this.note,
      h('div', { class: 'actions' }, this.yes, h('kbd', {}, 'y'), button('Back', 'quiet', back)));
  }

  open() {
    this.element.focus();
  }

  /** @param {boolean} busy */
  update(busy) {
    this.yes.disabled = busy;
    setText(this.yes, busy ? 'Sending…' : 'Yes, approve');
  }

  confirm() {
    void this.card.send(() => this.card.options.decide(this.card.call, 'approve', this.note.value.trim()));
  }
}

class DenyStep {
  /**
   * @param {import('./card.js').Card} card
   * @param {string} id of the card's heading
   * @param {() => void} back
   */
  constructor(card, id, back) {
    this.card = card;
    this.reason = h('textarea', { id: `${id}-reason`, rows: 3, maxlength: 1000, required: true, onkeydown: (/** @type {KeyboardEvent} */ e) => this.#key(e) });
    this.no = h('button', { type: 'submit', class: 'danger' }, 'Deny');
    this.stop = h('input', { id: `${id}-stop`, type: 'checkbox' });
    const stopping = h('p', { class: 'choice' }, this.stop, h('label', { for: `${id}-stop` }, 'and stop the agent ', foreign(card.call.actor), ' for everybody, for the same reason'));
    show(stopping, card.call.actor !== '');
    this.element = h('form', { class: 'question', onsubmit: (/** @type {Event} */ e) => this.#submit(e) },
      h('label', { for: `${id}-reason` }, 'Why not? The agent gets this as the answer.'), this.reason, stopping,
      h('div', { class: 'actions' }, this.no, button('Back', 'quiet', back)));
  }

  open() {
    this.reason.focus();
  }

  /** @param {boolean} busy */
  update(busy) {
    this.no.disabled = busy;
    setText(this.no, busy ? 'Sending…' : 'Deny');
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
  #key(e) {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) this.element.requestSubmit();
  }
}

/**
 * @param {string} text
 * @param {string} kind
 * @param {() => void} onclick
 */
function button(text, kind, onclick) {
  return h('button', { type: 'button', class: kind, onclick }, text);
}
