import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { NotProved, callDigest, follow, isCommitted, openCheckpoint, openNote, prove, readKey } from '../assets/proof.js';

/** Proofs that the broker's own code made (vectors_test.go). */
const vectors = JSON.parse(readFileSync(new URL('proofs.json', import.meta.url), 'utf8'));
const key = await readKey(vectors.key);
const last = vectors.records.at(-1);

/**
 * @param {Promise<unknown>} what
 * @param {RegExp} why
 */
const refused = (what, why) => assert.rejects(what, (/** @type {Error} */ e) => e instanceof NotProved && why.test(e.message));

/**
 * With one character of base64 changed.
 * @param {string} text
 */
const bent = (text) => `${text.slice(0, 5)}${text[5] === 'A' ? 'B' : 'A'}${text.slice(6)}`;

test('each record of each tree is proved', async () => {
  assert.ok(vectors.records.length > 20);
  for (const r of vectors.records) assert.equal((await prove(r.record, r.position, r, key)).size, r.size, r.position);
});

test('a record that differs by anything is not proved', async () => {
  for (const r of vectors.records) {
    await refused(prove(`${r.record} `, r.position, r, key), /not what was signed/);
    await refused(prove(r.record.replace('id', 'Id'), r.position, r, key), /not what was signed/);
  }
});

test('a record at another place is not proved', async () => {
  for (const r of vectors.records) {
    for (let at = 0; at < r.size; at++) {
      if (r.position !== `payments/calls@${at}`) await assert.rejects(prove(r.record, `payments/calls@${at}`, r, key), NotProved);
    }
    await refused(prove(r.record, `payments/calls@${r.size}`, r, key), /older than the record/);
    await refused(prove(r.record, r.position.replace('payments', 'source'), r, key), /another log/);
  }
  await refused(prove(last.record, 'payments/calls', last, key), /no place/);
});

test('a proof that was tampered with proves nothing', async () => {
  for (const r of vectors.records) {
    for (let i = 0; i < r.proof.length; i++) {
      await refused(prove(r.record, r.position, { ...r, proof: r.proof.map((/** @type {string} */ h, /** @type {number} */ at) => (at === i ? bent(h) : h)) }, key), /not what was signed|not one/);
    }
    await assert.rejects(prove(r.record, r.position, { ...r, proof: r.proof.slice(1) }, key).then((c) => r.proof.length === 0 && Promise.reject(new NotProved(String(c)))), NotProved);
    await assert.rejects(prove(r.record, r.position, { ...r, proof: [...r.proof, ...vectors.records.at(-1).proof.slice(0, 1)] }, key), NotProved);
  }
  await refused(prove(last.record, last.position, { ...last, proof: ['AAAA'] }, key), /proof is not one/);
});

test('a checkpoint is believed only as the trusted key signed it', async () => {
  const stranger = await readKey(vectors.stranger);
  await refused(prove(last.record, last.position, last, stranger), /not signed by the key/);
  const other = vectors.records.find((/** @type {any} */ r) => r.size === 8);
  const [text, signature] = last.checkpoint.split('\n\n');
  await refused(openNote(`${text.replace('13', '14')}\n\n${signature}`, key), /signature is not good/);
  await refused(openNote(`${text}\n\n${other.checkpoint.split('\n\n')[1]}`, key), /signature is not good/);
  await refused(openNote(text, key), /not a signed note/);
  await refused(openNote(`${text}\n\n${signature.replace('\u2014 ', '')}`, key), /not a signed note/);
  await refused(openCheckpoint(last.checkpoint, 'payments/payloads', key), /another log/);
  const witnessed = `${text}\n\n\u2014 witness.example ${btoa('abcd-not-checked')}\n${signature}`;
  assert.equal((await openCheckpoint(witnessed, 'payments/calls', key)).size, 13);
});

test('a note that is signed, and no checkpoint, is none', async () => {
  await refused(openCheckpoint(vectors.rotations[0].note, 'payments/calls', key), /checkpoint is not one/);
});

test('a key that is damaged is refused', async () => {
  for (const bad of ['', 'deed/acme', vectors.key.slice(0, -4), vectors.key.replace('+', '+0'), vectors.key.replace('acme', 'acmE'), `x${vectors.key}`]) {
    await assert.rejects(readKey(bad), NotProved, bad);
  }
  assert.equal((await readKey(` ${vectors.key}\n`)).text, vectors.key);
});

test('a trusted key is followed through its rotations, and no others', async () => {
  assert.equal((await follow(key, vectors.rotations)).text, vectors.newest);
  assert.equal((await follow(await readKey(vectors.rotations[1].old), vectors.rotations)).text, vectors.newest);
  assert.equal((await follow(key, [])).text, vectors.key);
  assert.equal((await follow(await readKey(vectors.stranger), vectors.rotations)).text, vectors.stranger);
  await refused(follow(key, [vectors.forged]), /not signed by the key/);
  await refused(follow(key, [{ ...vectors.rotations[0], new: vectors.stranger }]), /not what the key before it signed/);
});

test('a payload is what an event commits to, or it is not', async () => {
  for (const { salt, body, commitment } of vectors.payloads) {
    const bytes = new TextEncoder().encode(body);
    assert.ok(await isCommitted(commitment, salt, bytes));
    for (const other of [`${body} `, body.slice(1), '']) assert.ok(!(await isCommitted(commitment, salt, new TextEncoder().encode(other))));
    for (const bad of ['', 'AAAA', `x${salt}`, vectors.payloads.find((/** @type {any} */ p) => p.salt !== salt).salt]) assert.ok(!(await isCommitted(commitment, bad, bytes)));
    assert.ok(!(await isCommitted({ ...commitment, size: commitment.size + 1 }, salt, bytes)));
  }
});

test('a call digest is of tool, definition, arguments and parties', async () => {
  for (const intent of vectors.intents) {
    assert.equal(await callDigest(intent, intent.arguments), intent.digest);
    assert.notEqual(await callDigest({ ...intent, tool: 'payments.refunds' }, intent.arguments), intent.digest);
    assert.notEqual(await callDigest({ ...intent, redacted: { exact: vectors.payloads[0].commitment } }, intent.arguments), intent.digest);
    assert.notEqual(await callDigest(intent, vectors.payloads[2].commitment), intent.digest);
  }
});
