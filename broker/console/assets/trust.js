// The key of the log that this browser trusts: the first that it met, or one that a person
// gave it. It changes by a rotation that the trusted key signed, or by a person; never by
// what the broker says.

import { NotProved, follow, readKey } from './proof.js';

const STORED = 'deed.log-key';

/** @typedef {{key: string, since: string, how: 'met'|'given'|'rotated'}} Pin */

/** @returns {Pin|undefined} */
export function pinned() {
  try {
    const pin = JSON.parse(localStorage.getItem(STORED) ?? 'null');
    return pin && typeof pin.key === 'string' ? pin : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} key
 * @param {Pin['how']} how
 */
function pin(key, how) {
  localStorage.setItem(STORED, JSON.stringify({ key, since: new Date().toISOString(), how }));
}

/**
 * Trusts a key that a person was given.
 * @param {string} text
 */
export async function trust(text) {
  const key = await readKey(text);
  pin(key.text, 'given');
}

/** The broker signs with a key to which none leads that is trusted here. */
export class OtherKey extends NotProved {}

/**
 * The key to check with: that which is trusted, or to which it gave its place. The first
 * ever is taken as it comes.
 * @param {{key: string, rotations: import('./proof.js').Rotation[]}} said by the broker
 */
export async function trusted(said) {
  const now = await readKey(said.key);
  const before = pinned();
  if (!before) {
    pin(now.text, 'met');
    return now;
  }
  const newest = await follow(await readKey(before.key), said.rotations);
  if (newest.text !== now.text) throw new OtherKey('The broker signs its log with another key than the one that is trusted here.');
  if (newest.text !== before.key) pin(newest.text, 'rotated');
  return newest;
}
