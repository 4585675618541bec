import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withExact } from '../assets/api.js';
import { changes, lines, textChanges, unified } from '../assets/diff.js';
import { membersOf } from '../assets/json.js';

/** @param {string} a @param {string} b */
const told = (a, b) => changes(a, b).filter((l) => l.kind !== 'same').map((l) => `${l.kind} ${l.text.trim()}`);

test('a diff tells the lines that differ, and no others', () => {
  assert.deepEqual(told('{"a":1,"b":2}', '{"a":1,"b":3}'), ['gone "b": 2', 'new "b": 3']);
  assert.deepEqual(told('{"a":1}', '{"a":1,"b":2}'), ['new "b": 2']);
  assert.deepEqual(told('{"a":1,"b":[1,2]}', '{"b":[1,2]}'), ['gone "a": 1']);
  assert.deepEqual(told('{"a":1}', '{ "a" : 1 }'), []);
});

test('numbers are compared as they are written', () => {
  assert.deepEqual(told('{"a":12345678901234567890}', '{"a":12345678901234567891}').length, 2);
});

test('a diff of very long texts ends', () => {
  const long = JSON.stringify(Array.from({ length: 5000 }, (_, i) => i));
  assert.ok(changes(long, long.replace('4999', '5000')).length >= 5000);
});

test('lines have no commas at their ends', () => {
  assert.deepEqual(lines('{"a":[1,2],"b":"x,"}'), ['{', '  "a": [', '    1', '    2', '  ]', '  "b": "x,"', '}']);
});

test('members keep their exact text', () => {
  assert.deepEqual(membersOf('{"n":1.0,"t":"a\\u0041","o":{"n":2},"z":null}'), [['n', '1.0'], ['t', '"a\\u0041"'], ['o', '{"n":2}'], ['z', 'null']]);
  assert.equal(withExact({ field: '/n' }, 'equals', '1.0'), '{"field":"/n","equals":1.0}');
});

test('a change in a long text is told with a few lines around it', () => {
  const before = Array.from({ length: 4000 }, (_, i) => `line ${i}`);
  const after = before.with(2000, 'another').toSpliced(3000, 0, 'more');
  const found = textChanges(before.join('\n'), after.join('\n'));
  assert.deepEqual(found.slice(0, 6).map((l) => `${l.kind} ${l.text}`), ['skip 1,997 lines as before', 'same line 1997', 'same line 1998', 'same line 1999', 'gone line 2000', 'new another']);
  assert.ok(found.length > 6);
  assert.deepEqual(textChanges('a\nb', 'a\nb').map((l) => l.kind), ['skip']);
  assert.deepEqual(textChanges('', 'a').map((l) => `${l.kind} ${l.text}`), ['gone ', 'new a']);
});

test('a unified diff is read as one, and other text is not', () => {
  const kinds = (/** @type {string} */ t) => unified(t).map((l) => l.kind);
  assert.deepEqual(kinds('--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n same'), ['same', 'same', 'same', 'gone', 'new', 'same']);
  assert.deepEqual(kinds('- a list\n+ of things'), ['same', 'same']);
});
