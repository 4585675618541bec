// Text of strangers, with everything in it that a reader would not see, or would
// mistake for something else, made visible.

/**
 * A piece of text: plain, or one whose label stands for it.
 * @typedef {{kind: 'plain'|'hidden'|'ansi'|'alike', text: string, label?: string}} Segment
 */

/** What the commoner ones are called for short. */
const NAMES = new Map([
  [0x00, 'NUL'], [0x07, 'BEL'], [0x08, 'BS'], [0x09, 'TAB'], [0x0a, 'LF'], [0x0d, 'CR'], [0x1b, 'ESC'], [0x7f, 'DEL'],
  [0x85, 'NEL'], [0x9b, 'CSI'], [0xa0, 'NBSP'], [0xad, 'SHY'], [0x034f, 'CGJ'], [0x061c, 'ALM'], [0x115f, 'FILLER'], [0x1160, 'FILLER'],
  [0x180e, 'MVS'], [0x200b, 'ZWSP'], [0x200c, 'ZWNJ'], [0x200d, 'ZWJ'], [0x200e, 'LRM'], [0x200f, 'RLM'], [0x2028, 'LS'], [0x2029, 'PS'],
  [0x202a, 'LRE'], [0x202b, 'RLE'], [0x202c, 'PDF'], [0x202d, 'LRO'], [0x202e, 'RLO'], [0x202f, 'NNBSP'], [0x2060, 'WJ'],
  [0x2066, 'LRI'], [0x2067, 'RLI'], [0x2068, 'FSI'], [0x2069, 'PDI'], [0x2800, 'BLANK'], [0x3000, 'WIDE SPACE'], [0x3164, 'FILLER'],
  [0xfe0f, 'VS16'], [0xfeff, 'BOM'], [0xffa0, 'FILLER'],
]);

const ANSI = /[\u001b\u009b]\[?[0-?]*[ -/]*[@-~]?/y;
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/uy;
const STACKED = /\p{M}{3,}/uy;
const WORD = /[\p{L}\p{M}\p{N}_]+/uy;
const PLAIN = /[ -\u0026\u0028-/:-@[-^`{-~]+/y;
const LATIN = /[\p{Script=Latin}]/u;
const IMITATION = /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Armenian}\p{Script=Cherokee}]/u;
const STYLED = /[\uff01-\uff5e\u{1d400}-\u{1d7ff}]/u;

/**
 * Splits text into what can be shown as it is and what cannot.
 * @param {string} text
 * @param {{multiline?: boolean}} [options] multiline: line breaks and tabs are layout, not to be marked
 * @returns {Segment[]}
 */
export function segments(text, options = {}) {
  /** @type {Segment[]} */
  const out = [];
  let plain = '';
  const flush = () => {
    if (plain) out.push({ kind: 'plain', text: plain });
    plain = '';
  };
  /** @param {Segment} s */
  const mark = (s) => {
    flush();
    out.push(s);
  };
  for (let at = 0; at < text.length; ) {
    const c = text[at];
    let found;
    if (options.multiline && (c === '\n' || c === '\t')) {
      plain += c;
      at++;
    } else if ((found = take(PLAIN, text, at))) {
      plain += found;
      at += found.length;
    } else if ((c === '\u001b' || c === '\u009b') && (found = take(ANSI, text, at))) {
      mark({ kind: 'ansi', text: found, label: nameOf(found) + found.slice(1) });
      at += found.length;
    } else if ((found = take(HIDDEN, text, at))) {
      mark({ kind: 'hidden', text: found, label: nameOf(found) });
      at += found.length;
    } else if ((found = take(STACKED, text, at))) {
      mark({ kind: 'hidden', text: found, label: `${[...found].length} combining marks` });
      at += found.length;
    } else if ((found = take(WORD, text, at))) {
      at += word(found);
    } else {
      found = String.fromCodePoint(/** @type {number} */ (text.codePointAt(at)));
      if (STYLED.test(found)) mark({ kind: 'alike', text: found, label: nameOf(found) });
      else plain += found;
      at += found.length;
    }
  }
  flush();
  return out;

  /**
   * Looks at one word, as far as the marks that a rule above is for.
   * @param {string} whole
   */
  function word(whole) {
    const mixed = LATIN.test(whole) && IMITATION.test(whole);
    let length = 0;
    for (const c of whole) {
      if (length > 0 && (take(HIDDEN, whole, length) || take(STACKED, whole, length))) return length;
      length += c.length;
      if (STYLED.test(c) || (mixed && IMITATION.test(c))) mark({ kind: 'alike', text: c, label: nameOf(c) });
      else plain += c;
    }
    return length;
  }
}

/**
 * The text with the labels in it, for where there is no markup: titles and attributes.
 * @param {string} text
 */
export function visibleText(text) {
  return segments(text)
    .map((s) => (s.kind === 'plain' ? s.text : s.kind === 'alike' ? `${s.text}⟨${s.label}⟩` : `⟨${s.label}⟩`))
    .join('');
}

/**
 * @param {RegExp} sticky
 * @param {string} text
 * @param {number} at
 */
function take(sticky, text, at) {
  sticky.lastIndex = at;
  return sticky.exec(text)?.[0] ?? '';
}

/** @param {string} c */
function nameOf(c) {
  const code = /** @type {number} */ (c.codePointAt(0));
  const hex = 'U+' + code.toString(16).toUpperCase().padStart(4, '0');
  const name = NAMES.get(code);
  return name ? `${hex} ${name}` : hex;
}
