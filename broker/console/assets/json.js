// JSON as it was sent. JavaScript's own parser rounds numbers and reorders keys; what
// an approver is shown must be, character by character, what will run.

/** A JSON text that is kept as it came. */
export class Exact {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  /** The value, as far as JavaScript can hold it. */
  value() {
    return JSON.parse(this.text);
  }
}

/**
 * Parses JSON, but keeps the members of these names as {@link Exact}.
 * @param {string} text
 * @param {string[]} names
 * @param {string[]} [plain] members in which nothing is kept
 * @returns {any}
 */
export function parseExact(text, names, plain = []) {
  JSON.parse(text); // what follows relies on it being JSON
  const kept = new Set(names);
  let at = 0;

  const skipSpace = () => {
    while (at < text.length && ' \n\r\t'.includes(text[at])) at++;
  };
  const next = () => {
    skipSpace();
    return text[at];
  };
  const slice = () => {
    skipSpace();
    const from = at;
    at = endOfValue(text, at);
    return text.slice(from, at);
  };
  /** @returns {any} */
  const value = () => {
    switch (next()) {
      case '{':
        return members();
      case '[':
        return elements();
      default:
        return JSON.parse(slice());
    }
  };
  /** @returns {any[]} */
  const elements = () => {
    const all = [];
    at++;
    while (next() !== ']') {
      all.push(value());
      if (next() === ',') at++;
    }
    at++;
    return all;
  };
  const members = () => {
    /** @type {Record<string, any>} */
    const all = Object.create(null);
    at++;
    while (next() !== '}') {
      const name = JSON.parse(slice());
      next();
      at++; // the colon
      all[name] = plain.includes(name) ? JSON.parse(slice()) : kept.has(name) && next() !== 'n' ? new Exact(slice()) : value();
      if (next() === ',') at++;
    }
    at++;
    return all;
  };
  return value();
}

/**
 * The members of a JSON object, each with its value exactly as it is written.
 * @param {string} text a JSON object
 * @returns {[string, string][]}
 */
export function membersOf(text) {
  const names = Object.keys(JSON.parse(text));
  const kept = parseExact(text, names);
  return names.map((name) => [name, kept[name] instanceof Exact ? kept[name].text : 'null']);
}

/**
 * Where the JSON value that starts at a place ends. It does not recurse: a stranger
 * decides how deep the value is.
 * @param {string} text
 * @param {number} at
 */
function endOfValue(text, at) {
  let depth = 0;
  do {
    const c = text[at];
    if (c === '"') {
      at = endOfString(text, at);
    } else if (c === '{' || c === '[') {
      depth++;
      at++;
    } else if (c === '}' || c === ']') {
      depth--;
      at++;
    } else if (depth > 0) {
      at++;
    } else {
      while (at < text.length && !',]} \n\r\t'.includes(text[at])) at++;
    }
  } while (depth > 0 && at < text.length);
  return at;
}

/**
 * @param {string} text
 * @param {number} from the opening quote
 */
function endOfString(text, from) {
  for (let quote = text.indexOf('"', from + 1); ; quote = text.indexOf('"', quote + 1)) {
    if (quote < 0) return text.length;
    let escapes = 0;
    while (text[quote - 1 - escapes] === '\\') escapes++;
    if (escapes % 2 === 0) return quote + 1;
  }
}

/**
 * @typedef {{kind: 'key'|'string'|'number'|'literal'|'mark', text: string}} Token
 * @typedef {{indent: number, tokens: Token[]}} Line
 */

/**
 * Lays a JSON text out in lines. Only white space outside of strings differs from the
 * text: each token is as it was.
 * @param {string} text
 * @param {number} [limit] lines after which it stops
 * @returns {{lines: Line[], whole: boolean}}
 */
export function layOut(text, limit = Infinity) {
  /** @type {Line[]} */
  const lines = [];
  /** @type {Line} */
  let line = { indent: 0, tokens: [] };
  let depth = 0;
  const put = (/** @type {Token['kind']} */ kind, /** @type {string} */ t) => line.tokens.push({ kind, text: t });
  const breakLine = () => {
    lines.push(line);
    line = { indent: depth, tokens: [] };
  };
  for (let at = 0; at < text.length; ) {
    if (lines.length >= limit) return { lines, whole: false };
    const c = text[at];
    if (' \n\r\t'.includes(c)) {
      at++;
    } else if (c === '"') {
      const end = endOfString(text, at);
      put(nextMark(text, end) === ':' ? 'key' : 'string', text.slice(at, end));
      at = end;
    } else if (c === '{' || c === '[') {
      const close = c === '{' ? '}' : ']';
      const after = skip(text, at + 1);
      if (text[after] === close) {
        put('mark', c + close);
        at = after + 1;
      } else {
        put('mark', c);
        depth++;
        at++;
        breakLine();
      }
    } else if (c === '}' || c === ']') {
      depth--;
      breakLine();
      put('mark', c);
      at++;
    } else if (c === ',') {
      put('mark', c);
      at++;
      breakLine();
    } else if (c === ':') {
      put('mark', ': ');
      at++;
    } else {
      const end = endOfValue(text, at);
      const word = text.slice(at, end);
      put(/^[-0-9]/.test(word) ? 'number' : 'literal', word);
      at = end;
    }
  }
  lines.push(line);
  return { lines, whole: true };
}

/**
 * @param {string} text
 * @param {number} at
 */
function skip(text, at) {
  while (at < text.length && ' \n\r\t'.includes(text[at])) at++;
  return at;
}

/**
 * @param {string} text
 * @param {number} at
 */
function nextMark(text, at) {
  return text[skip(text, at)];
}
