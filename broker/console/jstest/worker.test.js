import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';

const source = readFileSync(new URL('../assets/worker.js', import.meta.url), 'utf8');

/** The worker in a world of its own. @param {any[]} windows */
function stage(windows = []) {
  /** @type {Record<string, (e: any) => void>} */
  const heard = {};
  /** @type {any[]} */
  const shown = [];
  /** @type {string[]} */
  const opened = [];
  const self = {
    location: { origin: 'https://deed.example' }, skipWaiting() {},
    addEventListener: (/** @type {string} */ name, /** @type {any} */ f) => { heard[name] = f; },
    registration: { showNotification: async (/** @type {string} */ title, /** @type {any} */ options) => { shown.push({ title, ...options }); } },
    clients: { matchAll: async () => windows, openWindow: async (/** @type {string} */ url) => { opened.push(url); } },
  };
  vm.runInNewContext(source, { self, URL });
  /** @param {string} name @param {any} event */
  const send = async (name, event) => {
    /** @type {Promise<any>[]} */
    const waits = [];
    heard[name]({ ...event, waitUntil: (/** @type {Promise<any>} */ p) => waits.push(p) });
    await Promise.all(waits);
  };
  return { shown, opened, push: (/** @type {any} */ data) => send('push', { data: { json: () => data } }), send };
}
const held = { v: 1, tag: 'c1', state: 'held', title: 'Approval needed: payments.refund', body: 'Refund', url: 'https://deed.example/#/calls/c1', renotify: true };
const touched = (/** @type {string} */ url) => ({ notification: { close() {}, data: { url } } });

test('what is pushed is shown, once for each call, and what follows replaces it in silence', async () => {
  const s = stage();
  await s.push(held);
  await s.push({ ...held, state: 'approved', title: 'Approved', renotify: false });
  assert.deepEqual(s.shown.map((n) => [n.tag, n.title, n.silent, n.requireInteraction]), [['c1', held.title, false, true], ['c1', 'Approved', true, false]]);
  assert.equal(s.shown[0].actions, undefined);
});

test('what is not the broker\'s is not shown', async () => {
  const s = stage();
  for (const data of [null, {}, { ...held, v: 2 }, { ...held, tag: 7 }, 'text']) await s.push(data);
  await s.send('push', { data: { json() { throw new Error('no JSON'); } } });
  assert.deepEqual(s.shown, []);
});

test('touching one opens the call, here and nowhere else', async () => {
  const s = stage();
  for (const url of [held.url, 'https://evil.example/#/calls/c1', 'javascript:alert(1)', '/logout', 'https://deed.example/login#/x']) await s.send('notificationclick', touched(url));
  assert.deepEqual(s.opened, ['/#/calls/c1', '/#/', '/#/', '/#/', '/#/']);
});

test('a window that is there is used', async () => {
  /** @type {any[]} */
  const told = [];
  const s = stage([{ url: 'https://deed.example/#/live', postMessage: (/** @type {any} */ m) => told.push(m.open), focus: async () => told.push('focus') }]);
  await s.send('notificationclick', touched(held.url));
  assert.deepEqual([told, s.opened], [['#/calls/c1', 'focus'], []]);
});
