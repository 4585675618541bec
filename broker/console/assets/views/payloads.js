// Whether what a call was made with, and what came of it, is what its events commit to:
// checked by this browser, over the very bytes that it shows.

import { kindOf } from '../calls.js';
import { callDigest, isCommitted, unbase64, utf8 } from '../proof.js';

/**
 * @typedef {import('../types.js').CallDetail} CallDetail
 * @typedef {{sha256: string, size: number}} Commitment
 * @typedef {'arguments'|'asked'|'output'|'justification'} Payload
 * @typedef {{of: Payload|'digest', state: 'proved'|'bad'|'gone', why: string}} Checked
 */

/** @type {Record<Payload, [what: string, are: string, there: string]>} how each is spoken of */
const NAMES = {
  arguments: ['The arguments', 'are', 'they'], asked: ['The arguments before they were changed', 'are', 'they'],
  output: ['The answer', 'is', 'it'], justification: ["The agent's own words", 'are', 'they'],
};

/**
 * Takes what is shown from the bytes on record, where JSON within JSON altered them.
 * @param {CallDetail} d
 */
export function exactly(d) {
  const read = (/** @type {Payload} */ name) => {
    const body = d.on_record?.[name]?.body;
    return body === undefined ? undefined : new TextDecoder().decode(unbase64(body));
  };
  for (const name of /** @type {const} */ (['arguments', 'asked', 'output'])) {
    const text = read(name);
    const shown = d[name];
    if (text !== undefined && shown) shown.text = text;
  }
  const said = read('justification');
  if (said !== undefined) d.justification = JSON.parse(said);
}

/**
 * Checks each payload to which the events of a call commit, and what approvals bind to.
 * @param {CallDetail} d
 * @returns {Promise<Checked[]>} none where there are no events to check by
 */
export async function checkPayloads(d) {
  const committed = commitments(d.events.map((e) => e.event.value()));
  const checked = await Promise.all(committed.payloads.map(([name, c]) => checkPayload(d, name, c)));
  return committed.digest ? [...checked, await checkDigest(d, committed)] : checked;
}

/**
 * @param {CallDetail} d
 * @param {Payload} name
 * @param {Commitment} commitment
 * @returns {Promise<Checked>}
 */
async function checkPayload(d, name, commitment) {
  const [what, are, there] = NAMES[name];
  const text = name === 'justification' ? d.justification && JSON.stringify(d.justification) : d[name]?.text;
  if (!text) {
    const erased = name === 'output' ? d.erased.output : d.erased.arguments;
    const why = erased ? `${are} erased` : `${are} not shown here`;
    return { of: name, state: 'gone', why: `${what} ${why}: the record commits to ${commitment.size.toLocaleString()} bytes, and that stands.` };
  }
  const proof = d.on_record?.[name];
  const body = proof?.body === undefined ? utf8(text) : unbase64(proof.body);
  return proof && body && (await isCommitted(commitment, proof.salt, body))
    ? { of: name, state: 'proved', why: `${what} ${are} the ${name === 'output' ? 'one' : 'ones'} on record.` }
    : { of: name, state: 'bad', why: `${what} ${are} NOT what the record commits to: ${there} ${are} another's, or forged.` };
}

/**
 * @param {CallDetail} d
 * @param {Committed} committed
 * @returns {Promise<Checked>}
 */
async function checkDigest(d, { intent, args, digest }) {
  const good = args && d.digest === digest && (await callDigest(intent, args)) === digest;
  return good ? { of: 'digest', state: 'proved', why: 'The digest that approvals bind to is of the arguments on record, this tool and these parties.' }
    : { of: 'digest', state: 'bad', why: 'The digest that approvals bind to is NOT of what is on record.' };
}

/** @typedef {{payloads: [Payload, Commitment][], intent?: any, args?: Commitment, digest?: string}} Committed */

/**
 * What the events of a call commit to. Of several that close it the first counts, and an
 * edit only if it is of the arguments as they were.
 * @param {any[]} events in the order of the log
 * @returns {Committed}
 */
function commitments(events) {
  const opening = events.find((e) => kindOf(e) === 'intent' || e.data?.request);
  const intent = opening?.data?.request ?? opening?.data;
  if (!intent?.arguments?.sha256) return { payloads: [] };
  let [args, digest] = [intent.arguments, intent.digest];
  for (const e of events) {
    if (kindOf(e) === 'edited' && e.data.previous === digest) [args, digest] = [e.data.arguments, e.data.digest];
  }
  const output = events.find((e) => ['result', 'failed', 'denied', 'expired', 'cancelled', 'unknown'].includes(kindOf(e)))?.data?.output;
  /** @type {[Payload, Commitment|undefined][]} */
  const all = [['arguments', args], ['asked', args === intent.arguments ? undefined : intent.arguments], ['justification', intent.justification], ['output', output]];
  return { payloads: all.filter(/** @returns {p is [Payload, Commitment]} */ (p) => p[1] !== undefined), intent, args, digest };
}
