import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandOf } from '../assets/keys.js';
import { ago, duration, span } from '../assets/time.js';

const press = (/** @type {string} */ key, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, repeat: false, ...more });
const page = { tag: 'BODY', dialog: false };

test('letters are commands', () => {
  assert.equal(commandOf(press('j'), page), 'next');
  assert.equal(commandOf(press('y'), page), 'confirm');
  assert.equal(commandOf(press('?'), page), 'help');
  assert.equal(commandOf(press('/'), page), 'search');
  assert.equal(commandOf(press('x'), page), undefined);
  assert.equal(commandOf(press('constructor'), page), undefined);
});

test('a key that is held down decides nothing', () => {
  for (const key of ['a', 'y', 'd']) assert.equal(commandOf(press(key, { repeat: true }), page), undefined);
  assert.equal(commandOf(press('j', { repeat: true }), page), 'next');
});

test('text is text', () => {
  for (const tag of ['INPUT', 'TEXTAREA', 'SELECT']) {
    for (const key of ['a', 'y', 'd', 'j', '?', '/', 'Enter']) assert.equal(commandOf(press(key), { tag, dialog: false }), undefined);
    assert.equal(commandOf(press('Escape'), { tag, dialog: false }), 'cancel');
  }
});

test('shortcuts of the browser, dialogs and buttons stay theirs', () => {
  assert.equal(commandOf(press('a', { ctrlKey: true }), page), undefined);
  assert.equal(commandOf(press('a', { metaKey: true }), page), undefined);
  assert.equal(commandOf(press('y'), { tag: 'BODY', dialog: true }), undefined);
  assert.equal(commandOf(press('Enter'), { tag: 'BUTTON', dialog: false }), undefined);
  assert.equal(commandOf(press('Enter'), { tag: 'ARTICLE', dialog: false }), 'open');
});

test('spans have two units', () => {
  const cases = /** @type {[number, string][]} */ ([[-5, '0 s'], [999, '0 s'], [59_000, '59 s'], [60_000, '1 min'], [754_000, '12 min 34 s'], [3_600_000, '1 h'], [90_000_000, '1 d 1 h']]);
  for (const [ms, want] of cases) assert.equal(span(ms), want);
  assert.equal(ago('2026-11-24T03:00:00Z', Date.parse('2026-11-24T03:00:05Z')), '5 s ago');
  assert.equal(duration(2.345), '2.3 ms');
  assert.equal(duration(1500), '1.5 s');
});
