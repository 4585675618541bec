import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLOSE, Feed } from '../assets/feed.js';

/** A feed in a world where time stands still until it is told otherwise. */
function stage() {
  let at = 0;
  let next = 1;
  /** @type {Map<number, {due: number, work: () => void}>} */
  const timers = new Map();
  /** @type {any[]} */
  const sockets = [];
  /** @type {any} */
  const heard = { records: [], links: [], viewers: 0, lost: 0, resets: 0 };
  const world = {
    open(/** @type {string} */ cursor) {
      const socket = { cursor, closed: false, close() { this.closed = true; } };
      sockets.push(socket);
      return /** @type {any} */ (socket);
    },
    later(/** @type {() => void} */ work, /** @type {number} */ ms) {
      timers.set(next, { due: at + ms, work });
      return next++;
    },
    cancel: (/** @type {number} */ id) => { timers.delete(id); },
    now: () => at,
    random: () => 1,
  };
  const feed = new Feed(world, {
    records: (r) => heard.records.push(...r),
    link: (l) => heard.links.push(l),
    replica: () => {}, viewer: () => heard.viewers++,
    lost: () => heard.lost++,
    reset: () => heard.resets++,
  });
  return {
    feed, heard, sockets,
    last: () => sockets.at(-1),
    say: (/** @type {any} */ frame, socket = sockets.at(-1)) => socket.onmessage({ data: JSON.stringify(frame) }),
    close: (/** @type {number} */ code, socket = sockets.at(-1)) => socket.onclose({ code }),
    status: () => heard.links.at(-1).status,
    pass(/** @type {number} */ ms) {
      at += ms;
      for (const [id, t] of [...timers]) {
        if (t.due <= at) {
          timers.delete(id);
          t.work();
        }
      }
    },
  };
}
const record = (/** @type {number} */ n) => ({ type: 'record', cursor: `c${n}`, position: `x/calls@${n}`, event: {} });
const hello = { type: 'hello', viewer: {}, cursor: 'h', live: true };

test('it begins at the live end, and resumes after the last record', () => {
  const s = stage();
  s.feed.connect();
  assert.equal(s.last().cursor, '');
  s.say(hello);
  s.say({ type: 'caught_up', cursor: 'h' });
  s.say(record(1));
  s.close(1006);
  assert.deepEqual(s.heard.records.map((/** @type {any} */ r) => r.cursor), ['c1']);
  assert.equal(s.status(), 'waiting');
  assert.equal(s.heard.lost, 1);
  s.pass(500);
  assert.equal(s.last().cursor, 'c1');
});

test('a resumed stream is behind until it has caught up', () => {
  const s = stage();
  s.feed.connect();
  s.say({ ...hello, live: false });
  assert.equal(s.status(), 'catching up');
  s.say(record(1));
  s.say({ type: 'caught_up', cursor: 'c1' });
  assert.equal(s.status(), 'live');
  assert.equal(s.heard.records.length, 1);
});

test('records that come together are all told, and it resumes after the last', () => {
  const s = stage();
  s.feed.connect();
  s.say(hello);
  s.say({ type: 'caught_up', cursor: 'h' });
  s.say({ type: 'records', cursor: 'c4', records: [record(2), record(3)] }); // the fourth is not for this viewer
  s.close(1006);
  assert.deepEqual(s.heard.records.map((/** @type {any} */ r) => r.cursor), ['c2', 'c3']);
  s.pass(500);
  assert.equal(s.last().cursor, 'c4');
});

test('cursors without records are remembered too', () => {
  const s = stage();
  s.feed.connect();
  s.say(hello);
  s.say({ type: 'cursor', cursor: 'c9' });
  s.close(1001);
  s.pass(500);
  assert.equal(s.last().cursor, 'c9');
  assert.equal(s.heard.lost, 0);
});

test('waits grow with each failure, to a bound, and end with success', () => {
  const s = stage();
  s.feed.connect();
  /** @type {number[]} */
  const waits = [];
  for (let i = 0; i < 8; i++) {
    s.close(1006);
    waits.push(s.heard.links.at(-1).retryAt - s.heard.links.at(-1).since);
    s.pass(15_000);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  s.say(hello);
  s.say({ type: 'caught_up', cursor: 'h' });
  s.close(1006);
  assert.equal(s.heard.links.at(-1).retryAt - s.heard.links.at(-1).since, 500);
});

test('a viewer that was too slow resumes at once, but not in a loop', () => {
  const s = stage();
  s.feed.connect();
  s.say({ ...hello, live: false });
  s.say(record(3));
  s.close(CLOSE.tooSlow);
  s.pass(0);
  assert.equal(s.last().cursor, 'c3');
  assert.equal(s.sockets.length, 2);
  s.close(CLOSE.tooSlow);
  s.pass(0);
  assert.equal(s.sockets.length, 2);
});

test('an ended login is not tried again', () => {
  const s = stage();
  s.feed.connect();
  s.close(CLOSE.expired);
  s.pass(60_000);
  assert.equal(s.sockets.length, 1);
  assert.equal(s.status(), 'ended');
  assert.equal(s.heard.lost, 1);
});

test('a cursor of another log begins anew', () => {
  const s = stage();
  s.feed.connect();
  s.say(hello);
  s.close(CLOSE.badCursor);
  s.pass(500);
  assert.equal(s.heard.resets, 1);
  assert.equal(s.last().cursor, '');
});

test('what an abandoned connection says is not heard', () => {
  const s = stage();
  s.feed.connect();
  const old = s.last();
  s.feed.connect();
  assert.equal(old.closed, true);
  s.say(record(1), old);
  s.close(1006, old);
  s.pass(100);
  assert.equal(s.heard.records.length, 0);
  assert.equal(s.sockets.length, 2);
});

test('records that come together are passed on together', () => {
  const s = stage();
  s.feed.connect();
  let batches = 0;
  const records = s.feed.listener.records;
  s.feed.listener.records = (r) => { batches++; records(r); };
  for (let i = 0; i < 20; i++) s.say(record(i));
  s.pass(100);
  assert.equal(batches, 1);
  assert.equal(s.heard.records.length, 20);
});
