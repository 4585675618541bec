// A JSON text, laid out but otherwise exactly as it is.

import { layOut } from '../json.js';
import { h, pieces } from '../render.js';

const FOLDED_LINES = 14;
const FOLDED_TEXT = 900;
const ESCAPED = /\\u00[01][0-9a-f]|\\u007f/gi;

/**
 * A JSON text that is folded if it is long.
 * @param {string} text
 * @param {string} label what it is, for those who do not see it
 */
export function jsonView(text, label) {
  const pre = h('pre', { class: 'json', tabindex: 0, role: 'group', 'aria-label': label });
  const element = h('div', { class: 'json-view' }, pre);
  const folded = fold(text);
  fill(pre, folded ?? text);
  if (folded === undefined) return { element, open() {}, folded: () => false };
  const more = h('button', { type: 'button', class: 'quiet', onclick: open }, `Show all ${text.length.toLocaleString()} characters`);
  const note = h('p', { class: 'fold-note' }, 'Only the beginning is shown. ', more);
  element.append(note);
  let isFolded = true;
  return { element, open, folded: () => isFolded };

  function open() {
    if (!isFolded) return;
    isFolded = false;
    fill(pre, text);
    note.remove();
  }
}

/**
 * The beginning of a long text; undefined if it is short.
 * @param {string} text
 */
function fold(text) {
  if (text.length > FOLDED_TEXT) return text.slice(0, FOLDED_TEXT);
  return layOut(text, FOLDED_LINES + 1).whole ? undefined : text.slice(0, FOLDED_TEXT);
}

/**
 * @param {HTMLElement} pre
 * @param {string} text
 */
function fill(pre, text) {
  const code = document.createDocumentFragment();
  for (const [i, line] of layOut(text).lines.entries()) {
    if (i > 0) code.append('\n');
    code.append('  '.repeat(line.indent));
    for (const token of line.tokens) code.append(h('span', { class: `t-${token.kind}` }, ...pieces(token.text).flatMap(markEscapes)));
  }
  pre.replaceChildren(code);
}

/**
 * Control characters that JSON spells out are as worth seeing as those that it does not.
 * @param {Node} node
 * @returns {Node[]}
 */
function markEscapes(node) {
  const text = node.textContent ?? '';
  if (node.nodeType !== Node.TEXT_NODE || !text.includes('\\u')) return [node];
  const out = [];
  let from = 0;
  for (const found of text.matchAll(ESCAPED)) {
    out.push(document.createTextNode(text.slice(from, found.index)), h('span', { class: 'mark', title: 'a control character' }, found[0]));
    from = found.index + found[0].length;
  }
  out.push(document.createTextNode(text.slice(from)));
  return out;
}
