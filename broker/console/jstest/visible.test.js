import assert from 'node:assert/strict';
import { test } from 'node:test';
import { segments, visibleText } from '../assets/visible.js';

const cases = /** @type {[string, string, string][]} */ ([
  ['plain text', 'Refund 4,310.00 USD to "81"!', 'Refund 4,310.00 USD to "81"!'],
  ['other languages', 'Überweisung an Иван, 東京, مرحبا', 'Überweisung an Иван, 東京, مرحبا'],
  ['right-to-left override', 'evil\u202Egpj.exe', 'evil⟨U+202E RLO⟩gpj.exe'],
  ['isolates', '\u2066a\u2069', '⟨U+2066 LRI⟩a⟨U+2069 PDI⟩'],
  ['zero width', 'pay\u200Bpal\u2060\uFEFF', 'pay⟨U+200B ZWSP⟩pal⟨U+2060 WJ⟩⟨U+FEFF BOM⟩'],
  ['soft hyphen', 'ad\u00ADmin', 'ad⟨U+00AD SHY⟩min'],
  ['spaces that are not', 'a\u00A0b\u3000c\u2003', 'a⟨U+00A0 NBSP⟩b⟨U+3000 WIDE SPACE⟩c⟨U+2003⟩'],
  ['blanks that are letters', '\u3164\u115F\u2800', '⟨U+3164 FILLER⟩⟨U+115F FILLER⟩⟨U+2800 BLANK⟩'],
  ['tags', 'a\u{E0041}', 'a⟨U+E0041⟩'],
  ['variation selectors', 'a\uFE0F\u{E0100}', 'a⟨U+FE0F VS16⟩⟨U+E0100⟩'],
  ['controls', '\u0000\u0007\u007F\u0085', '⟨U+0000 NUL⟩⟨U+0007 BEL⟩⟨U+007F DEL⟩⟨U+0085 NEL⟩'],
  ['line breaks in a line', 'ok\nApproved by bob\r', 'ok⟨U+000A LF⟩Approved by bob⟨U+000D CR⟩'],
  ['line separators', 'a\u2028b', 'a⟨U+2028 LS⟩b'],
  ['ANSI colour', '\u001b[31mred\u001b[0m', '⟨U+001B ESC[31m⟩red⟨U+001B ESC[0m⟩'],
  ['ANSI of one byte', '\u009b2J', '⟨U+009B CSI2J⟩'],
  ['escape at the end', 'x\u001b', 'x⟨U+001B ESC⟩'],
  ['lone surrogates', 'a\uD800b', 'a⟨U+D800⟩b'],
  ['private use', '\uE000', '⟨U+E000⟩'],
  ['letters that look alike', 'pаypal', 'pа⟨U+0430⟩ypal'],
  ['full width', 'ａdmin', 'ａ⟨U+FF41⟩dmin'],
  ['mathematical letters', '𝐚dmin', '𝐚⟨U+1D41A⟩dmin'],
  ['accents', 'é e\u0301', 'é e\u0301'],
  ['stacked accents', 'e\u0301\u0302\u0303\u0304', 'e⟨4 combining marks⟩'],
]);

for (const [name, text, want] of cases) {
  test(`${name} can be seen`, () => assert.equal(visibleText(text), want));
}

test('nothing of the text is lost or added', () => {
  for (const [, text] of cases) assert.equal(segments(text).map((s) => s.text).join(''), text);
});

test('lines and tabs are layout where that is meant', () => {
  assert.deepEqual(segments('a\n\tb', { multiline: true }), [{ kind: 'plain', text: 'a\n\tb' }]);
});

test('any text whatever comes out whole', () => {
  let seed = 7;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const pool = ['a', 'а', '\u001b', '[', '3', 'm', '\u202e', '\u0301', '\ud800', '\udc00', '𝐚', '\n', ' ', '_', '\u00a0', "'", '<', '\\'];
  for (let n = 0; n < 3000; n++) {
    const text = Array.from({ length: Math.floor(random() * 12) }, () => pool[Math.floor(random() * pool.length)]).join('');
    assert.equal(segments(text).map((s) => s.text).join(''), text);
  }
});
