// What changed between two JSON texts, line by line of their layout.

import { layOut } from './json.js';

const MAX_LINES = 300;

/** @typedef {{kind: 'same'|'gone'|'new', text: string}} Line */

/**
 * The lines of both texts in order: those that only the first has are gone, those that
 * only the second has are new. Texts of too many lines are gone, and new, as a whole.
 * @param {string} before JSON
 * @param {string} after JSON
 * @returns {Line[]}
 */
export function changes(before, after) {
  const [a, b] = [lines(before), lines(after)];
  if (a.length > MAX_LINES || b.length > MAX_LINES) return [...a.map((text) => line('gone', text)), ...b.map((text) => line('new', text))];
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
  const table = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  }
  return table;
}
