// The question "with which arguments instead?": a text, and what it changes.

import { changes, lines } from '../diff.js';
import { h, pieces, setText, show } from '../render.js';

export class EditStep {
  /**
   * @param {import('./card.js').Card} card
   * @param {string} id of the card's heading
   * @param {() => void} back
   */
  constructor(card, id, back) {
    this.card = card;
    this.text = h('textarea', {
      id: `${id}-arguments`, rows: 8, spellcheck: 'false', autocomplete: 'off', class: 'code', 'aria-describedby': `${id}-changes`, oninput: () => this.#compare(),
    });
    this.reason = h('input', { id: `${id}-edit-reason`, type: 'text', maxlength: 1000, autocomplete: 'off' });
    this.changes = h('div', { id: `${id}-changes`, class: 'diff', role: 'status' });
    this.send = h('button', { type: 'submit', class: 'primary' }, 'Change, and approve that');
    this.element = h('form', { class: 'question neutral', onsubmit: (/** @type {Event} */ e) => this.#submit(e) },
      h('p', { class: 'ask' }, 'What may it do instead? Somebody else has to approve this too, and the agent is told.'),
      h('label', { for: `${id}-arguments` }, 'Arguments'), this.text, this.changes,
      h('label', { for: `${id}-edit-reason` }, 'Why, for the agent (optional)'), this.reason,
      h('div', { class: 'actions' }, this.send, h('button', { type: 'button', class: 'quiet', onclick: back }, 'Back')));
  }

  open() {
    this.before = this.card.call.arguments?.text ?? '{}';
    this.text.value = lines(this.before).length > 1 ? layout(this.before) : this.before;
    this.#compare();
    this.text.focus();
  }

  /** @param {boolean} busy */
  update(busy) {
    this.send.disabled = busy || !this.changed;
    setText(this.send, busy ? 'Sending…' : 'Change, and approve that');
  }

  #compare() {
    this.changed = false;
    let problem = '';
    try {
      const value = JSON.parse(this.text.value);
      if (value === null || typeof value !== 'object' || Array.isArray(value)) problem = 'Arguments are a JSON object.';
    } catch {
      problem = 'This is not JSON.';
    }
    const found = problem ? [] : changes(this.before ?? '{}', this.text.value);
    this.changed = found.some((l) => l.kind !== 'same');
    if (!problem && !this.changed) problem = 'Nothing is changed yet.';
    this.changes.replaceChildren(problem ? h('p', { class: 'muted' }, problem) : diffView(found));
    this.update(this.card.busy);
  }

  /** @param {Event} e */
  #submit(e) {
    e.preventDefault();
    if (this.changed) void this.card.send(() => this.card.options.edit(this.card.call, this.text.value, this.reason.value.trim()));
  }
}

/**
 * Lines that are gone or new, with the word before each: the colour only helps.
 * @param {import('../diff.js').Line[]} found
 */
export function diffView(found) {
  const words = { same: '', gone: 'was', new: 'now', skip: '…' };
  return h('div', { class: 'diff-lines', tabindex: 0, role: 'group', 'aria-label': 'what changes' }, ...found.map((l) => {
    const text = h('code', {}, ...pieces(l.text));
    return h('div', { class: `line ${l.kind}` }, h('span', { class: 'what' }, words[l.kind]), text);
  }));
}

/**
 * A JSON text over several lines, each token as it was.
 * @param {string} text
 */
function layout(text) {
  const all = lines(text);
  return all.map((line, i) => {
    const next = all[i + 1];
    const opens = /[[{]$/.test(line);
    const closes = next === undefined || /^\s*[\]}]/.test(next);
    return opens || closes ? line : `${line},`;
  }).join('\n');
}

/**
 * Shows or hides what was changed of a call's arguments.
 * @param {HTMLElement} element
 * @param {import('../types.js').HeldCall} call
 */
export function showEdits(element, call) {
  const last = call.edits?.at(-1);
  show(element, Boolean(last));
  if (!last) return;
  element.replaceChildren(h('h3', {}, 'Changed before approval'),
    h('p', {}, h('strong', {}, ...pieces(last.by)), ' changed the arguments', last.reason ? ': ' : '.', ...pieces(last.reason ?? '')),
    call.asked && call.arguments ? diffView(changes(call.asked.text, call.arguments.text)) : h('p', { class: 'muted' }, 'What it was is not for you to see.'));
}
