// The broker's JSON API, as the page uses it.

import { parseExact } from './json.js';

/** Members that are shown exactly as they were sent, unless a request says otherwise. */
const EXACT = ['arguments', 'asked', 'equals', 'output', 'event', 'input_schema'];
/** Members that speak of those, by their names. */
const PLAIN = ['erased', 'withheld', 'on_record'];
const DEFINITION = ['definition', 'reviewed'];
const TIMEOUT = 20_000;
const PAGE = 500;
const MAX_PAGES = 4;

/** An answer that is a problem (RFC 9457), or none at all. */
export class ApiError extends Error {
  /**
   * @param {string} message for people
   * @param {number} status 0: no answer
   * @param {string} kind what the page branches on
   */
  constructor(message, status, kind) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

/** How far the broker's clock is ahead of this machine's, in milliseconds. */
let ahead = 0;

/** The time as the broker has it. */
export function now() {
  return Date.now() + ahead;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body] a text is JSON already
 * @param {string[]} [exact] members that are shown exactly as they were sent
 * @returns {Promise<any>}
 */
async function request(method, path, body, exact = EXACT) {
  /** @type {RequestInit} */
  const init = { method, headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(TIMEOUT), redirect: 'error' };
  if (body !== undefined) {
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
    init.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  let response, text;
  try {
    response = await fetch(path, init);
    text = await response.text();
  } catch {
    throw new ApiError('The broker cannot be reached.', 0, 'unreachable');
  }
  keepTime(response.headers.get('Date'));
  let value;
  try {
    value = parseExact(text, exact, PLAIN);
  } catch {
    value = {};
  }
  if (!response.ok) {
    throw new ApiError(value.detail || value.title || `The broker answered ${response.status}.`, response.status, value.kind ?? '');
  }
  return value;
}

/**
 * Differences of less than two seconds are as likely the network's, and the header's.
 * @param {string|null} date
 */
function keepTime(date) {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) return;
  const difference = theirs + 500 - Date.now();
  ahead = Math.abs(difference) < 2000 ? 0 : difference;
}

/** @param {string} id */
const path = (id) => `/v1/calls/${encodeURIComponent(id)}`;

export const api = {
  /** @returns {Promise<import('./types.js').Viewer>} */
  whoami: () => request('GET', '/v1/whoami'),

  /** @returns {Promise<import('./types.js').HeldCall[]>} */
  async held() {
    const all = [];
    let cursor = '';
    for (let page = 0; page < MAX_PAGES; page++) {
      const list = await request('GET', `/v1/calls?state=held&limit=${PAGE}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      all.push(...list.items);
      cursor = list.next ?? '';
      if (!cursor) break;
    }
    return all;
  },

  /** @returns {Promise<import('./types.js').Call[]>} */
  async recent() {
    return (await request('GET', '/v1/calls?limit=200')).items;
  },

  /**
   * A page of the history, the newest call first.
   * @param {Record<string, string>} where
   * @param {{cursor?: string, limit?: number}} [page]
   * @returns {Promise<{items: import('./types.js').Call[], next?: string}>}
   */
  history(where, { cursor = '', limit = 100 } = {}) {
    const query = new URLSearchParams({ ...where, limit: String(limit) });
    if (cursor) query.set('cursor', cursor);
    return request('GET', `/v1/calls?${query}`);
  },

  /**
   * @param {string} window
   * @returns {Promise<import('./types.js').Overview>}
   */
  overview: (window) => request('GET', `/v1/overview?window=${encodeURIComponent(window)}`),

  /** @returns {Promise<import('./types.js').Tool[]>} */
  async tools() {
    const all = [];
    let cursor = '';
    do {
      const list = await request('GET', `/v1/tools?limit=${PAGE}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      all.push(...list.items);
      cursor = list.next ?? '';
    } while (cursor && all.length < PAGE * MAX_PAGES);
    return all;
  },

  /** @returns {Promise<import('./types.js').Upstream[]>} how the servers behind the tools fare */
  async upstreams() {
    return (await request('GET', `/v1/upstreams?limit=${PAGE}`)).items;
  },

  /**
   * @param {string} tool
   * @returns {Promise<import('./types.js').Definition>}
   */
  definition: (tool) => request('GET', `/v1/tools/${encodeURIComponent(tool)}/definition`, undefined, DEFINITION),

  /**
   * Says yes to the definition of a tool that has this digest.
   * @param {string} tool
   * @param {string} digest
   * @returns {Promise<import('./types.js').Definition>}
   */
  review: (tool, digest) => request('POST', `/v1/tools/${encodeURIComponent(tool)}/definition`, { digest }, DEFINITION),

  /** @returns {Promise<import('./types.js').Policy>} */
  policy: () => request('GET', '/v1/policy'),

  /**
   * What policies say of a call that nobody makes.
   * @param {string} body Trial as JSON
   * @returns {Promise<import('./types.js').Verdict>}
   */
  tryCall: (body) => request('POST', '/v1/policy/try', body),

  /**
   * What a draft would have done to the calls of the last days.
   * @param {{name: string, text: string}[]} files
   * @param {number} days
   * @returns {Promise<import('./types.js').Hindsight>}
   */
  replayPolicy: (files, days) => request('POST', '/v1/policy/replay', { files, days }),

  /**
   * @param {string} id
   * @param {import('./types.js').Tier} upTo how much of it is asked for: more than metadata of others' calls goes on record
   * @returns {Promise<import('./types.js').CallDetail>}
   */
  call: (id, upTo) => request('GET', `${path(id)}?tier=${upTo}`),

  /**
   * @param {string} id
   * @param {'approve'|'deny'} verdict
   * @param {Shown} shown
   * @param {string} reason
   * @returns {Promise<import('./types.js').CallDetail>}
   */
  decide: (id, verdict, shown, reason) => request('POST', `${path(id)}/approvals`, { verdict, ...shown, reason }),

  /**
   * @param {string} id
   * @param {string} digest
   * @returns {Promise<import('./types.js').Forecast>}
   */
  forecast: (id, digest) => request('POST', `${path(id)}/dry-run`, { digest }),

  /**
   * Approves a call with other arguments, which are sent exactly as they are written.
   * @param {string} id
   * @param {Shown} shown
   * @param {string} args a JSON object
   * @param {string} reason
   * @returns {Promise<import('./types.js').CallDetail>}
   */
  edit: (id, shown, args, reason) => request('POST', `${path(id)}/approvals`, withExact({ verdict: 'approve', ...shown, reason }, 'arguments', args)),

  /**
   * @param {string} body GrantRequest as JSON
   * @returns {Promise<import('./types.js').Grant>}
   */
  grant: (body) => request('POST', '/v1/grants', body),

  /**
   * @param {string} body GrantRequest as JSON
   * @returns {Promise<import('./types.js').GrantPreview>}
   */
  previewGrant: (body) => request('POST', '/v1/grant-preview', body),

  /** @returns {Promise<import('./types.js').Grant[]>} the latest first */
  async grants() {
    return (await request('GET', `/v1/grants?limit=${PAGE}`)).items.reverse();
  },

  /** @returns {Promise<import('./types.js').Agent[]>} */
  async agents() {
    return (await request('GET', `/v1/agents?limit=${PAGE}`)).items;
  },

  /** @returns {Promise<import('./types.js').Revocation[]>} the latest first */
  async revocations() {
    return (await request('GET', `/v1/revocations?limit=${PAGE}`)).items.reverse();
  },

  /**
   * Stops whoever is named, everywhere and at once.
   * @param {'agent'|'principal'} kind
   * @param {string} value
   * @param {string} reason
   */
  revoke: (kind, value, reason) => request('POST', '/v1/revocations', { kind, value, reason }),

  /**
   * @param {string} id
   * @param {string} reason
   */
  lift: (id, reason) => request('DELETE', `/v1/revocations/${encodeURIComponent(id)}?reason=${encodeURIComponent(reason)}`),

  /** @returns {Promise<{public_key: string, subscribed: number}>} what a browser subscribes to */
  push: () => request('GET', '/v1/push'),

  /** @param {PushSubscriptionJSON} subscription */
  subscribe: (subscription) => request('POST', '/v1/push', subscription),

  /** @param {string} endpoint */
  unsubscribe: (endpoint) => request('DELETE', '/v1/push', { endpoint }),

  /** @returns {Promise<{key: string, rotations: import('./proof.js').Rotation[]}>} that checkpoints are signed with */
  keys: () => request('GET', '/v1/keys'),

  /**
   * @param {string} position such as payments/calls@17
   * @returns {Promise<import('./proof.js').Inclusion>}
   */
  inclusion: (position) => request('GET', `/v1/proof/inclusion?position=${encodeURIComponent(position)}`),

  /** @param {string} id */
  endGrant: (id) => request('DELETE', `/v1/grants/${encodeURIComponent(id)}`),
};

/**
 * What a person was shown who decides: the call digest, and the digest of the sentence.
 * @typedef {{digest: string, shown?: string}} Shown
 */

/**
 * JSON of an object with one more member, whose text is taken as it is.
 * @param {object} object with at least one member
 * @param {string} name
 * @param {string} text JSON
 */
export function withExact(object, name, text) {
  return `${JSON.stringify(object).slice(0, -1)},${JSON.stringify(name)}:${text}}`;
}
