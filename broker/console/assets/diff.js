// What changed between two texts, line by line; of JSON by the lines of its layout.

import { layOut } from './json.js';

/** How many pairs of lines are compared at most. */
const MAX_PAIRS = 4_000_000;

/** @typedef {{kind: 'same'|'gone'|'new'|'skip', text: string}} Line */

/**
 * @param {string} before JSON
 * @param {string} after JSON
 */
export function changes(before, after) {
  return compare(lines(before), lines(after));
}

/**
 * The lines that differ between two texts, each with some around it that do not.
 * @param {string} before
 * @param {string} after
 */
export function textChanges(before, after) {
  return around(compare(before.split('\n'), after.split('\n')));
}

/**
 * A text that may be a diff in the unified format: what it says is gone, and new.
 * @param {string} text
 * @returns {Line[]}
 */
export function unified(text) {
  const all = text.split('\n');
  const hunk = all.findIndex((l) => l.startsWith('@@ '));
  return all.map((l, i) => line(hunk < 0 || i < hunk ? 'same' : l.startsWith('+') ? 'new' : l.startsWith('-') ? 'gone' : 'same', l));
}

const AROUND = 3;

/**
 * Without the lines that are far from any change.
 * @param {Line[]} all
 */
function around(all) {
  const near = all.map((_, i) => all.slice(Math.max(0, i - AROUND), i + AROUND + 1).some((l) => l.kind !== 'same'));
  /** @type {Line[]} */
  const out = [];
  let left = 0;
  for (const [i, l] of all.entries()) {
    if (!near[i]) left++;
    if (left > 0 && (near[i] || i === all.length - 1)) {
      out.push(line('skip', `${left.toLocaleString()} ${left === 1 ? 'line' : 'lines'} as before`));
      left = 0;
    }
    if (near[i]) out.push(l);
  }
  return out;
}

/**
 * The lines of both texts in order: those that only the first has are gone, those that
 * only the second has are new. Where too many are between the first that differs and the
 * last, these are gone, and new, as a whole.
 * @param {string[]} before
 * @param {string[]} after
 * @returns {Line[]}
 */
function compare(before, after) {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const same = (/** @type {string[]} */ l) => l.map((text) => line('same', text));
  const middle = (/** @type {string[]} */ l) => l.slice(head, l.length - tail);
  return [...same(before.slice(0, head)), ...differing(middle(before), middle(after)), ...same(before.slice(before.length - tail))];
}

/**
 * @param {string[]} a
 * @param {string[]} b
 * @returns {Line[]}
 */
function differing(a, b) {
  if (a.length * b.length > MAX_PAIRS) return [...a.map((text) => line('gone', text)), ...b.map((text) => line('new', text))];
  const common = lengths(a, b);
  const out = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push(line('same', a[i++]));
      j++;
    } else if (j === b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) {
      out.push(line('gone', a[i++]));
    } else {
      out.push(line('new', b[j++]));
    }
  }
  return out;
}

/**
 * @param {Line['kind']} kind
 * @param {string} text
 * @returns {Line}
 */
function line(kind, text) {
  return { kind, text };
}

/**
 * A JSON text as it is laid out on the page. A comma at the end of a line is no change of it.
 * @param {string} text
 */
export function lines(text) {
  return layOut(text).lines.map((l) => '  '.repeat(l.indent) + l.tokens.map((t) => t.text).join('').replace(/,\s*$/, ''));
}

/**
 * How long the longest common subsequence of the rests of a and b is.
 * @param {string[]} a
 * @param {string[]} b
 */
function lengths(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  }
  return table;
}
