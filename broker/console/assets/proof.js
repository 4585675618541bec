// Whether a record is in the log, checked here: with WebCrypto, a Merkle path and the key
// that this browser trusts. Nothing that the broker says of it is believed.

const NOTE = 64 << 10;
const KEY = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/;
const ED25519 = 1;
/** The length of a payload's salt. */
const SALT = 16;

/** @typedef {{text: string, name: string, hash: string, key: CryptoKey}} Verifier what a signed note is checked with */
/** @typedef {{origin: string, size: number, root: string}} Checkpoint */
/** @typedef {{old: string, new: string, note: string}} Rotation */
/** @typedef {{position: string, size: number, proof: string[], checkpoint: string}} Inclusion as the API has it */

/** Why something is not proved, in words. */
export class NotProved extends Error {}

/**
 * Reads a verifier key: name+hash+base64 (golang.org/x/mod/sumdb/note).
 * @param {string} text
 * @returns {Promise<Verifier>}
 */
export async function readKey(text) {
  const [, name, hash, encoded] = KEY.exec(text.trim()) ?? [];
  const bytes = encoded && unbase64(encoded);
  if (!bytes || bytes.length !== 33 || bytes[0] !== ED25519) throw new NotProved('This is not a verifier key.');
  const sum = await sha256(utf8(`${name}\n`), bytes);
  if (hex(sum.slice(0, 4)) !== hash) throw new NotProved('This verifier key is damaged.');
  return { text: text.trim(), name, hash, key: await crypto.subtle.importKey('raw', bytes.slice(1), 'Ed25519', false, ['verify']) };
}

/**
 * The text of a signed note (C2SP signed-note), if the key signed it.
 * @param {string} note
 * @param {Verifier} key
 */
export async function openNote(note, key) {
  const end = note.lastIndexOf('\n\n') + 1;
  if (end === 0 || note.length > NOTE || !note.endsWith('\n')) throw new NotProved('This is not a signed note.');
  const text = note.slice(0, end);
  let signed = false;
  for (const line of note.slice(end + 1, -1).split('\n')) {
    const [, name, encoded] = /^\u2014 (\S+) (\S+)$/.exec(line) ?? [];
    const bytes = encoded && unbase64(encoded);
    if (!bytes || bytes.length < 5) throw new NotProved('This is not a signed note.');
    if (name !== key.name || hex(bytes.slice(0, 4)) !== key.hash) continue; // of somebody else, a witness perhaps
    if (!(await crypto.subtle.verify('Ed25519', key.key, bytes.slice(4), utf8(text)))) throw new NotProved('Its signature is not good.');
    signed = true;
  }
  if (!signed) throw new NotProved('It is not signed by the key that is trusted here.');
  return text;
}

/**
 * What a signed checkpoint (C2SP tlog-checkpoint) of a log says.
 * @param {string} note
 * @param {string} log such as payments/calls
 * @param {Verifier} key
 * @returns {Promise<Checkpoint>}
 */
export async function openCheckpoint(note, log, key) {
  const lines = (await openNote(note, key)).split('\n');
  const [origin, size, root] = lines;
  if (lines.length !== 4 || !/^(0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)) || unbase64(root)?.length !== 32) throw new NotProved('The checkpoint is not one.');
  if (origin !== `${key.name}/${log}`) throw new NotProved('The checkpoint is of another log.');
  return { origin, size: Number(size), root };
}

/**
 * The hash of a record as a leaf of its log (RFC 6962 section 2.1).
 * @param {Uint8Array<ArrayBuffer>} record
 */
export function leafHash(record) {
  return sha256(Uint8Array.of(0), record);
}

/**
 * The root to which a leaf belongs by an inclusion path (RFC 9162 section 2.1.3.2).
 * @param {Uint8Array<ArrayBuffer>} leaf
 * @param {number} index
 * @param {number} size
 * @param {Uint8Array<ArrayBuffer>[]} path
 */
export async function rootOf(leaf, index, size, path) {
  if (!(index >= 0 && index < size)) throw new NotProved('The checkpoint is older than the record.');
  let hash = leaf;
  let [at, last] = [index, size - 1];
  for (const beside of path) {
    if (last === 0) throw new NotProved('The proof is too long.');
    if (at % 2 === 1 || at === last) {
      hash = await nodeHash(beside, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      hash = await nodeHash(hash, beside);
    }
    [at, last] = [half(at), half(last)];
  }
  if (last !== 0) throw new NotProved('The proof is too short.');
  return hash;
}

/**
 * Proves that a record stands at its place in a log that the key signed.
 * @param {string} record as it is stored, and shown
 * @param {string} position such as payments/calls@17
 * @param {Inclusion} inclusion
 * @param {Verifier} key
 * @returns {Promise<Checkpoint>} the one that it was proved by
 */
export async function prove(record, position, inclusion, key) {
  const [, log, index] = /^(.+)@(\d+)$/.exec(position) ?? [];
  if (!log) throw new NotProved('The record has no place in a log.');
  const checkpoint = await openCheckpoint(inclusion.checkpoint, log, key);
  const path = inclusion.proof.map((h) => unbase64(h));
  if (!path.every((h) => h?.length === 32)) throw new NotProved('The proof is not one.');
  const root = await rootOf(await leafHash(utf8(record)), Number(index), checkpoint.size, /** @type {Uint8Array<ArrayBuffer>[]} */ (path));
  if (base64(root) !== checkpoint.root) throw new NotProved('It is not what was signed: the record, or its place, is another.');
  return checkpoint;
}

/**
 * The key that is in force after those that followed a trusted one: each signed by the one before.
 * @param {Verifier} trusted
 * @param {Rotation[]} rotations the oldest first
 * @returns {Promise<Verifier>}
 */
export async function follow(trusted, rotations) {
  let key = trusted;
  for (const r of rotations) {
    if (r.old !== key.text) continue; // from before this key was in force
    const next = await readKey(r.new);
    if (next.name !== key.name || (await openNote(r.note, key)) !== `deed key rotation v1\n${r.old}\n${r.new}\n`) throw new NotProved('A rotation of the key is not what the key before it signed.');
    key = next;
  }
  return key;
}

/**
 * Whether these are the bytes to which an event commits: by the SHA-256 over a salt, which
 * goes when they are erased, and them.
 * @param {{sha256: string, size: number}} commitment
 * @param {string} salt in base64
 * @param {Uint8Array<ArrayBuffer>} body
 */
export async function isCommitted(commitment, salt, body) {
  const bytes = unbase64(salt);
  return bytes?.length === SALT && commitment.size === body.length && commitment.sha256 === hex(await sha256(bytes, body));
}

/**
 * The digest that an approval binds to: of the tool, its definition, the commitment to the
 * arguments, and the parties.
 * @param {any} intent as its event has it
 * @param {{sha256: string}} args that it runs with
 */
export async function callDigest(intent, args) {
  const { issuer, principal = '', chain = [] } = intent.identity;
  const parts = ['deed call v1', intent.tool, intent.definition, args.sha256, issuer, principal, ...chain.map((/** @type {{id: string}} */ a) => a.id)];
  if (intent.redacted) parts.push('exact', intent.redacted.exact.sha256);
  const text = JSON.stringify(parts).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`); // as Go writes it
  return hex(await sha256(utf8(text)));
}

/** @param {number} n */
const half = (n) => Math.floor(n / 2);

/**
 * @param {Uint8Array<ArrayBuffer>} left
 * @param {Uint8Array<ArrayBuffer>} right
 */
function nodeHash(left, right) {
  return sha256(Uint8Array.of(1), left, right);
}

/** @param {...Uint8Array<ArrayBuffer>} parts */
async function sha256(...parts) {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', all));
}

/** @param {string} text */
export const utf8 = (text) => new TextEncoder().encode(text);

/** @param {Uint8Array} bytes */
const hex = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');

/** @param {Uint8Array} bytes */
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

/**
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>|undefined} nothing if it is not base64 as it should be
 */
export function unbase64(text) {
  try {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return base64(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}
