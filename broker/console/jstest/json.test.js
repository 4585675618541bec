import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exact, layOut, parseExact } from '../assets/json.js';

test('exact members keep numbers and order that JavaScript would lose', () => {
  const raw = '{"10":1,"9":12345678901234567890,"x":1.0,"s":"a\\"}{"}';
  const value = parseExact(`{"items":[{"call_id":"c","arguments":${raw},"digest":"d"}], "next" : "n"}`, ['arguments']);
  assert.equal(value.items[0].arguments.text, raw);
  assert.equal(value.items[0].digest, 'd');
  assert.equal(value.next, 'n');
});

test('exact members of every kind end where they end', () => {
  for (const raw of ['[]', '{}', '"\\\\"', '"a,b]}"', '-1.5e+3', 'true', '[[[]],{"a":[{}]}]', '""']) {
    const value = parseExact(`{"arguments": ${raw} ,"after":[1,"two",null]}`, ['arguments']);
    assert.ok(value.arguments instanceof Exact);
    assert.equal(value.arguments.text, raw);
    assert.deepEqual(value.after, [1, 'two', null]);
  }
});

test('null stands for no value', () => {
  assert.equal(parseExact('{"arguments":null}', ['arguments']).arguments, null);
});

test('the parser agrees with JavaScript on everything else', () => {
  for (const text of ['null', '"x"', '12', '[]', ' { "a" : [ 1 , { "b" : null } ] , "c" : "\\u0041" } ', '{"__proto__":{"x":1},"constructor":2}']) {
    assert.equal(JSON.stringify(parseExact(text, [])), JSON.stringify(JSON.parse(text)));
  }
});

test('a __proto__ member is a member', () => {
  const value = parseExact('{"__proto__":{"polluted":true}}', []);
  assert.equal(value.polluted, undefined);
  assert.equal(/** @type {any} */ ({}).polluted, undefined);
});

test('what is not JSON is refused', () => {
  for (const text of ['', '{', '{"a":1,}', '[1 2]', '<!doctype html>', '{"a":1}x']) {
    assert.throws(() => parseExact(text, ['a']), SyntaxError);
  }
});

test('depth that a stranger chose does not overflow the stack', () => {
  const depth = 100_000;
  const raw = '['.repeat(depth) + ']'.repeat(depth);
  let deep;
  try {
    JSON.parse(raw);
    deep = parseExact(`{"arguments":${raw}}`, ['arguments']).arguments.text.length;
  } catch (e) {
    assert.ok(e instanceof RangeError); // the engine's own parser does not take it: an error, not a wrong value
    return;
  }
  assert.equal(deep, raw.length);
});

/** @param {string} text */
const plain = (text) => layOut(text).lines.map((l) => ' '.repeat(l.indent) + l.tokens.map((t) => t.text).join('')).join('\n');

test('layout adds white space outside of strings and nothing else', () => {
  const text = '{"a":1.0,"b":[],"c":[1,{"d":"x: y, {z}"}],"e":{},"f":null}';
  const laid = layOut(text);
  assert.equal(laid.lines.flatMap((l) => l.tokens.map((t) => t.text.replace(': ', t.kind === 'mark' ? ':' : ': '))).join(''), text);
  assert.equal(plain('{"a":[1,2],"b":"c"}'), '{\n "a": [\n  1,\n  2\n ],\n "b": "c"\n}');
});

test('layout tells keys from strings', () => {
  const kinds = layOut('{"a":"b","c":["d"]}').lines.flatMap((l) => l.tokens).filter((t) => t.text.startsWith('"')).map((t) => `${t.kind}${t.text}`);
  assert.deepEqual(kinds, ['key"a"', 'string"b"', 'key"c"', 'string"d"']);
});

test('layout stops at its limit, and takes text that was cut anywhere', () => {
  const text = JSON.stringify({ list: Array.from({ length: 100 }, (_, i) => ({ i, s: 'x"\\' })) });
  assert.equal(layOut(text, 10).whole, false);
  assert.equal(layOut(text, 10).lines.length, 10);
  for (let n = 0; n <= text.length; n++) layOut(text.slice(0, n));
});

test('what is said of exact members is no exact member', () => {
  const got = parseExact('{"output":{"n":1.0},"erased":{"arguments":false,"output":true}}', ['output', 'arguments'], ['erased']);
  assert.equal(got.output.text, '{"n":1.0}');
  assert.deepEqual(got.erased, { arguments: false, output: true });
});
