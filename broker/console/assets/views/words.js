// What calls are in words, the same on every page.

import { ago } from '../time.js';

/** @typedef {import('../types.js').Call} Call */

/**
 * The state of a call as a short word, and a class that goes with it. The word alone tells.
 * @param {Call} call
 * @returns {[string, string]}
 */
export function stateOf(call) {
  switch (call.state) {
    case 'held':
      return ['held', 'held'];
    case 'released':
      return ['approved, running', 'running'];
    case 'running':
      return ['running', 'running'];
    default:
      return ENDINGS[call.outcome ?? ''] ?? ['ended', 'muted'];
  }
}

/** @type {Record<string, [string, string]>} */
const ENDINGS = {
  result: ['done', 'good'],
  failed: ['failed', 'bad'],
  denied: ['denied', 'bad'],
  expired: ['expired', 'muted'],
  cancelled: ['cancelled', 'muted'],
  unknown: ['outcome unknown', 'warn'],
};

/**
 * So many of something.
 * @param {number} n
 * @param {string} one
 */
export const counted = (n, one) => `${n.toLocaleString()} ${one}${n === 1 ? '' : 's'}`;

/**
 * The broker's words, which begin and end as part of something.
 * @param {string} text
 */
export const asSentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/**
 * From the person to who acts now.
 * @param {Call} call
 */
export function partiesOf(call) {
  return [...(call.principal ? [call.principal] : []), ...[...call.chain].reverse()];
}

/** @type {Record<string, string>} */
const FAILURES = {
  tool_error: 'the tool answered with an error, which stands in its answer', upstream_error: 'the server behind the tool refused it, or was not reached',
  no_credential: 'there was no credential for the server behind the tool', unanswered: 'the tool asked something that nobody answered',
};

/**
 * Why something failed, in words: the record's, or what its code means.
 * @param {{reason?: string, code?: string}} outcome
 */
export const whyFailed = ({ reason, code }) => reason || FAILURES[code ?? ''] || code || '';

/**
 * What became of a call that was decided while somebody looked.
 * @param {Call} call
 * @param {number} now
 */
export function endingOf(call, now) {
  const voters = call.votes.map((v) => v.by).join(', ');
  const when = ago(call.closed, now);
  if (call.state === 'released') return voters ? `Approved by ${voters}, and running.` : 'Decided meanwhile.';
  switch (call.outcome) {
    case 'result':
      return `${voters ? `Approved by ${voters}. ` : ''}It ran, and ended ${when}.`;
    case 'failed':
      return `${voters ? `Approved by ${voters}. ` : ''}It ran and failed ${when}: ${whyFailed(call)}`;
    case 'denied':
      return `Denied ${call.by ? `by ${call.by} ` : ''}${when}${call.reason ? `: ${call.reason}` : '.'}`;
    case 'expired':
      return `Expired ${when}: nobody decided in time.`;
    case 'cancelled':
      return `Cancelled ${when}${call.reason ? `: ${call.reason}` : '.'}`;
    case 'unknown':
      return `Ended ${when} with an unknown outcome: it may have happened. A person must look.`;
    default:
      return `Ended ${when}.`;
  }
}
