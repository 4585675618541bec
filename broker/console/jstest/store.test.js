import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_CALLS, arrange, byUrgency, counts, initial, reduce, splitPosition } from '../assets/store.js';
import { matches } from '../assets/views/live.js';

let index = 0;
/** @param {string} kind @param {string} id @param {any} data @param {string} [log] */
const record = (kind, id, data, log = 'payments/calls') => ({
  position: `${log}@${index++}`, cursor: `c${index}`,
  event: { type: `dev.deed.call.${kind}.v1`, subject: id, domain: 'payments', time: '2026-11-24T03:00:00Z', principal: 'alice', actor: 'copilot', data },
});
const intent = (effect = 'hold') => ({
  tool: 'payments.refund', digest: 'd1', identity: { principal: 'alice', chain: [{ id: 'copilot' }] },
  decision: { effect, reasons: [{ policy: 'big', effect: 'forbid', reason: 'too big' }, { policy: 'big', effect: 'forbid' }], approvers: ['lead'], expires: '2026-11-24T04:00:00Z' },
});
/** @param {string} id @param {object} [more] */
const held = (id, more = {}) => /** @type {any} */ ({
  call_id: id, tool: 'payments.refund', domain: 'payments', principal: 'alice', actor: 'copilot', chain: ['copilot'], state: 'held', opened: '2026-11-24T03:00:00Z',
  policies: ['big'], approvers: ['lead'], votes: [], expires: '2026-11-24T04:00:00Z', digest: 'd1', reasons: [], may_vote: true, arguments_erased: false, ...more,
});
/** @param {any[]} actions @param {any} [from] */
const run = (actions, from = initial()) => actions.reduce(reduce, from);

test('a call is folded from its events', () => {
  const by = { by: { principal: 'bob', issuer: 'i' } };
  const s = run([{ type: 'records', records: [record('intent', 'a', intent()), record('approval', 'a', by), record('approval', 'a', by), record('released', 'a', {}),
    record('result', 'a', { code: 'ok', duration_ms: 12 })] }]);
  const call = s.calls.get('a');
  assert.equal(call.state, 'closed');
  assert.equal(call.outcome, 'result');
  assert.equal(call.tool, 'payments.refund');
  assert.deepEqual(call.policies, ['big']);
  assert.deepEqual(call.votes.map((/** @type {any} */ v) => v.by), ['bob']);
});

test('a call that was refused before its intent is known by its denial alone', () => {
  const s = run([{ type: 'records', records: [record('denied', 'a', { code: 'policy', reason: 'no', request: intent('deny') })] }]);
  assert.equal(s.calls.get('a').tool, 'payments.refund');
  assert.equal(s.calls.get('a').outcome, 'denied');
  assert.equal(s.calls.get('a').reason, 'no');
});

test('an edit leaves its editor\'s approval alone, whichever account comes first', () => {
  const by = (/** @type {string} */ name) => ({ by: { principal: name } });
  const edited = () => record('edited', 'a', { ...by('bob'), digest: 'd2', reason: 'less' });
  const events = [record('intent', 'a', intent()), record('approval', 'a', { ...by('dave'), digest: 'd1' }), edited()];
  const fresh = held('a', { digest: 'd2', edits: [{ by: 'bob', at: '2026-11-24T03:00:00Z', digest: 'd2' }], votes: [{ by: 'bob', at: '2026-11-24T03:00:00Z' }] });
  for (const actions of [
    [{ type: 'held', calls: [held('a')], at: 1 }, { type: 'records', records: events }, { type: 'held', calls: [fresh], at: 2 }],
    [{ type: 'held', calls: [held('a', { votes: [{ by: 'dave', at: '' }] })], at: 1 }, { type: 'held', calls: [fresh], at: 2 }, { type: 'records', records: events }],
  ]) {
    const card = run(actions).held.get('a');
    assert.deepEqual(card.votes.map((/** @type {any} */ v) => v.by), ['bob']);
    assert.equal(card.digest, 'd2');
  }
});

test('who denied a call is learnt from its event, though the answer to the vote was faster', () => {
  const s = run([{ type: 'held', calls: [held('a')], at: 1 }, { type: 'records', records: [record('intent', 'a', intent())] },
    { type: 'call', call: held('a', { state: 'closed', outcome: 'denied', code: 'approver', reason: 'no' }) },
    { type: 'records', records: [record('denied', 'a', { code: 'approver', by: { principal: 'bob' } })] }]);
  assert.equal(s.held.get('a').by, 'bob');
  assert.equal(s.held.get('a').reason, 'no');
});

test('only the first closing event counts', () => {
  const s = run([{ type: 'records', records: [record('intent', 'a', intent()), record('expired', 'a', { code: 'expired' }), record('denied', 'a', { code: 'approver' }), record('released', 'a', {})] }]);
  assert.equal(s.calls.get('a').outcome, 'expired');
  assert.equal(s.calls.get('a').state, 'closed');
});

test('records that were seen before change nothing, whatever else comes', () => {
  const first = record('intent', 'a', intent());
  const denied = record('denied', 'a', { code: 'approver', by: { principal: 'bob' } });
  const s = run([{ type: 'records', records: [first, denied] }]);
  assert.deepEqual(run([{ type: 'records', records: [first] }], s).calls, s.calls);
  assert.equal(s.calls.get('a').by, 'bob');
});

test('logs are counted each by itself', () => {
  const s = run([{ type: 'records', records: [{ ...record('intent', 'a', intent()), position: 'x/calls@5' }, { ...record('intent', 'b', intent()), position: 'y/calls@1' }] }]);
  assert.equal(s.calls.size, 2);
});

test('events of no call, and of kinds that are not known, are passed over', () => {
  const odd = record('intent', 'a', intent());
  odd.event.type = 'dev.deed.control.policy.v1';
  const s = run([{ type: 'records', records: [odd, record('something-new', 'b', {})] }]);
  assert.equal(s.calls.has('a'), false);
});

test('events that come before the history they belong to are not undone by it', () => {
  const s = run([{ type: 'records', records: [record('approval', 'a', { by: { principal: 'bob' } })] }, { type: 'history', calls: [held('a')] }]);
  assert.equal(s.calls.get('a').state, 'held');
  assert.equal(s.calls.get('a').tool, 'payments.refund');
  assert.deepEqual(s.calls.get('a').votes.map((/** @type {any} */ v) => v.by), ['bob']);
  const closed = run([{ type: 'records', records: [record('denied', 'b', { code: 'approver' })] }, { type: 'history', calls: [held('b')] }]);
  assert.equal(closed.calls.get('b').state, 'closed');
});

test('a vote on a card is seen though its call is not among the recent ones', () => {
  const s = run([{ type: 'held', calls: [held('a')], at: 1 }, { type: 'records', records: [record('approval', 'a', { by: { principal: 'bob' } })] }]);
  assert.equal(s.held.get('a').state, 'held');
  assert.deepEqual(s.held.get('a').votes.map((/** @type {any} */ v) => v.by), ['bob']);
  assert.equal(s.held.get('a').digest, 'd1');
});

test('a card that is not held any more stays until it is forgotten', () => {
  let s = run([{ type: 'held', calls: [held('a'), held('b')], at: 1 }, { type: 'held', calls: [held('b')], at: 2 }]);
  assert.equal(s.held.get('a').state, 'released');
  assert.deepEqual(counts(s), { waiting: 1, mine: 1 });
  s = run([{ type: 'forget', ids: ['a'] }], s);
  assert.equal(s.held.has('a'), false);
});

test('a list that was read before a decision does not bring the card back', () => {
  const s = run([{ type: 'held', calls: [held('a')], at: 1 }, { type: 'records', records: [record('intent', 'a', intent()), record('denied', 'a', { code: 'approver' })] },
    { type: 'held', calls: [held('a')], at: 2 }]);
  assert.equal(s.held.get('a').state, 'closed');
  assert.equal(counts(s).waiting, 0);
});

test('whether the viewer may vote is as the broker said last', () => {
  const s = run([{ type: 'held', calls: [held('a')], at: 1 }, { type: 'held', calls: [held('a', { may_vote: false, why_not: 'four eyes' })], at: 2 }]);
  assert.equal(s.held.get('a').may_vote, false);
  assert.equal(s.held.get('a').why_not, 'four eyes');
});

test('memory is bounded', () => {
  const records = Array.from({ length: MAX_CALLS + 50 }, (_, i) => record('intent', `n${i}`, intent('allow')));
  const s = run([{ type: 'records', records }]);
  assert.equal(s.calls.size, MAX_CALLS);
  assert.equal(s.calls.has('n0'), false);
  assert.equal(s.calls.has(`n${MAX_CALLS + 49}`), true);
});

test('the state before is never changed', () => {
  const before = run([{ type: 'held', calls: [held('a')], at: 1 }]);
  const copy = structuredClone(before);
  run([{ type: 'records', records: [record('intent', 'a', intent()), record('denied', 'a', {})] }, { type: 'held', calls: [], at: 2 }, { type: 'forget', ids: ['a'] }], before);
  assert.deepEqual(before, copy);
});

test('a reset forgets all but who looks', () => {
  const s = run([{ type: 'viewer', viewer: { principal: 'bob' } }, { type: 'held', calls: [held('a')], at: 1 }, { type: 'reset' }]);
  assert.equal(s.held.size, 0);
  assert.equal(s.viewer.principal, 'bob');
});

test('the earliest deadline comes first', () => {
  const s = run([{ type: 'held', calls: [held('late', { expires: '2026-11-24T05:00:00Z' }), held('soon', { expires: '2026-11-24T03:10:00Z' })], at: 1 }]);
  assert.deepEqual(byUrgency(s), ['soon', 'late']);
});

test('nothing moves under the pointer', () => {
  assert.deepEqual(arrange(['b', 'c'], ['a', 'b', 'c'], true), ['b', 'c', 'a']);
  assert.deepEqual(arrange(['b', 'c'], ['c', 'd'], true), ['c', 'd']);
  assert.deepEqual(arrange(['b', 'c'], ['a', 'b', 'c'], false), ['a', 'b', 'c']);
});

test('positions are read from their end', () => {
  assert.deepEqual(splitPosition('payments/calls@17'), ['payments/calls', 17]);
});

test('a filter finds calls by all that a row says', () => {
  const call = run([{ type: 'records', records: [record('intent', 'f', intent())] }]).calls.get('f');
  for (const yes of ['', 'REFUND', 'alice held', 'copilot big']) assert.equal(matches(call, yes), true, yes);
  for (const no of ['carol', 'refund denied']) assert.equal(matches(call, no), false, no);
});
