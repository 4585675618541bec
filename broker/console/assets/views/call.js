// Everything about one call.

import { ApiError, api } from '../api.js';
import { kindOf } from '../calls.js';
import { foreign, h, setText, show } from '../render.js';
import { duration, span } from '../time.js';
import { Card } from './card.js';
import { showEdits } from './edit.js';
import { said } from './facts.js';
import { cardCommand } from './inbox.js';
import { jsonView } from './json.js';
import { chip, digestView, moment, parties, reasonList } from './parts.js';
import { asSentence, whyFailed } from './words.js';

/** @typedef {import('../types.js').CallDetail} CallDetail */

/**
 * @param {string} id
 * @param {import('./card.js').Deciding} page
 */
export function callView(id, page) {
  const error = h('p', { class: 'error', role: 'alert' });
  const body = h('div', { class: 'call' });
  const loading = h('p', { class: 'muted' }, 'Loading…');
  const element = h('section', { 'aria-labelledby': 'call-title' },
    h('h1', { id: 'call-title', class: 'visually-hidden' }, 'One call'), h('p', {}, h('a', { href: '#/', class: 'back' }, '← Waiting')), error, loading, body);
  const proof = import('./proof.js').then(({ Proof }) => { // most people never look at a call's page
    const made = new Proof();
    element.append(made.element);
    body.before(made.wrong);
    return made;
  });
  const payloads = import('./payloads.js');
  /** @type {Card|undefined} */
  let card;
  let seen = '';
  /** @type {import('../types.js').Tier} */
  let upTo = 'metadata';
  let turn = 0;
  void load();
  return { element, update, tick: () => card?.tick(), command: (/** @type {import('../keys.js').Command} */ c) => c !== 'open' && cardCommand(card, c), title: 'Call' };

  /** @param {import('../store.js').State} state */
  function update(state) {
    const call = state.calls.get(id) ?? state.held.get(id);
    const now = call ? `${call.state} ${call.edits?.length ?? 0} ${call.votes.length} ${call.outcome ?? ''}` : '';
    const changed = seen !== '' && now !== seen;
    if (now) seen = now;
    if (changed) void load();
  }

  async function load() {
    const mine = ++turn;
    try {
      let detail = await api.call(id, upTo);
      const least = detail.principal === page.viewer() ? 'results' : detail.may_vote ? 'arguments' : 'metadata';
      if (upTo === 'metadata' && least !== upTo) { // one's own, or one's to decide: nobody looks at what is others'
        upTo = least;
        detail = await api.call(id, upTo);
      }
      (await payloads).exactly(detail);
      if (mine === turn) fill(detail);
    } catch (e) {
      if (mine === turn) setText(error, e instanceof ApiError ? e.message : 'The page failed to show this call.');
    }
    show(loading, false);
  }

  /**
   * Shows more of the call, which goes on record.
   * @param {import('../types.js').Tier} tier
   */
  async function reveal(tier) {
    upTo = tier;
    await load();
    const shown = element.querySelectorAll('.arguments .json');
    /** @type {HTMLElement|null} */ (shown[tier === 'results' ? shown.length - 1 : 0])?.focus();
  }

  /** @param {CallDetail} d */
  function fill(d) {
    setText(error, '');
    if (d.state === 'held' && d.digest) {
      if (card) card.update(d);
      else card = new Card(d, { ...page, link: false });
    } else {
      card = undefined;
    }
    const asking = card?.element.contains(document.activeElement);
    /** @type {import('./proof.js').Shown[]} */
    const events = d.events.map((e) => ({ ...e, mark: h('span', { class: 'proof-mark' }) }));
    const parts = [card ? card.element : summary(d, reveal), card && !d.arguments ? veil(d, 'arguments', reveal) : h('div'), facts(d), timeline(d, events)];
    if (asking && body.firstChild === parts[0]) { // leave the card, with its focus, where it is
      for (const old of [...body.childNodes].slice(1)) old.remove();
      body.append(...parts.slice(1));
    } else {
      body.replaceChildren(...parts);
    }
    proof.then((p) => p.check(events, d)).catch(() => setText(error, 'The page failed to check the proofs.'));
  }
}

/**
 * @param {CallDetail} d
 * @param {(tier: import('../types.js').Tier) => Promise<void>} reveal
 */
function summary(d, reveal) {
  const edits = h('div', { class: 'edits' });
  showEdits(edits, d);
  return h('article', { class: 'card' },
    h('header', {}, h('h2', {}, foreign(d.tool)), chip(d)),
    h('p', { class: 'who' }, 'For ', parties(d)),
    d.reason ? h('p', {}, foreign(d.reason)) : null,
    d.reasons.length > 0 ? h('div', { class: 'why' }, h('h3', {}, 'Policies'), reasonList(d.reasons)) : null,
    said(d.justification), d.arguments ? edits : null,
    h('div', { class: 'arguments' }, h('h3', {}, 'Exact arguments'), d.arguments ? jsonView(d.arguments.text, 'exact arguments').element : veil(d, 'arguments', reveal)),
    h('div', { class: 'arguments' }, h('h3', {}, 'Answer'), d.output ? jsonView(d.output.text, 'what the tool answered').element : veil(d, 'output', reveal)),
    d.reconciled ? h('p', {}, `${d.reconciled.by} found that it ${d.reconciled.happened ? 'did' : 'did not'} happen. `, foreign(d.reconciled.note ?? '')) : null);
}

/** @type {import('../types.js').Tier[]} */
const TIERS = ['metadata', 'arguments', 'results'];

/**
 * In place of what is not shown: why, and a way to it where there is one.
 * @param {CallDetail} d
 * @param {'arguments'|'output'} what
 * @param {(tier: import('../types.js').Tier) => Promise<void>} reveal
 */
function veil(d, what, reveal) {
  const tier = what === 'output' ? 'results' : 'arguments';
  const why = d.withheld?.[what];
  if (!why) return h('p', { class: 'muted' }, d.erased[what] ? 'It has been erased; the record of it stands.' : 'There is none.');
  if (TIERS.indexOf(d.may_read ?? 'metadata') < TIERS.indexOf(tier)) return h('p', { class: 'muted veil' }, asSentence(why));
  const button = h('button', { type: 'button', 'data-reveal': tier, onclick: () => {
    button.disabled = true;
    void reveal(tier);
  } }, tier === 'results' ? 'Show the answer' : 'Show the arguments');
  return h('p', { class: 'muted veil' }, button, ' You may read this. That you do goes on record.');
}

/** @param {CallDetail} d */
function facts(d) {
  /** @type {[string, Node|string|undefined][]} */
  const rows = [
    ['Call', h('code', {}, d.call_id)], ['Domain', foreign(d.domain)], ['Opened', moment(d.opened)], ['Ended', d.closed ? moment(d.closed) : undefined],
    ['Ran for', d.duration_ms === undefined ? undefined : duration(d.duration_ms)], ['Digest', d.digest ? digestView(d.digest) : undefined],
    ['Definition', d.definition ? h('code', { class: 'digest' }, d.definition) : undefined],
    ['Client', d.client ? foreign(d.client) : undefined], ['Trace', d.trace ? foreign(d.trace, { class: 'foreign digest' }) : undefined],
  ];
  return h('dl', { class: 'facts' }, ...rows.filter(([, v]) => v !== undefined).flatMap(([name, v]) => [h('dt', {}, name), h('dd', {}, v)]));
}

/**
 * The sentence in which the call was put to somebody who decided on it, where it is told.
 * @param {CallDetail} d
 * @param {string} who
 */
function shownTo(d, who) {
  const text = d.shown?.find((s) => s.by === who)?.text;
  return text ? h('p', { class: 'muted' }, 'Was shown: ', foreign(text)) : null;
}

/** @type {Record<string, string>} */
const STEPS = {
  intent: 'Recorded before anything was done', approval: 'Approved', edited: 'Changed, and approved so', 'vote-refused': 'A vote that did not count', released: 'Released to run', result: 'Answered',
  failed: 'Failed', denied: 'Denied', expired: 'Expired', cancelled: 'Cancelled', unknown: 'Outcome unknown', reconciled: 'Settled by a person',
};

/**
 * @param {CallDetail} d
 * @param {import('./proof.js').Shown[]} events
 */
function timeline(d, events) {
  if (events.length === 0) return h('p', { class: 'muted' }, 'The events of this call are not for you to see, or not indexed yet.');
  const start = Date.parse(d.opened);
  return h('div', {}, h('h2', {}, 'Timeline'), h('ol', { class: 'timeline' }, ...events.map((e) => {
    const event = e.event.value();
    const by = event.data?.by?.principal;
    const after = Date.parse(event.time) - start;
    return h('li', {},
      h('div', { class: 'step' },
        h('strong', {}, STEPS[kindOf(event)] ?? 'Event'), by ? h('span', {}, ' by ', foreign(by)) : null,
        h('span', { class: 'after' }, after > 0 ? `+ ${after < 1000 ? `${after} ms` : span(after)}` : '')),
      event.data?.decision?.effect ? h('p', {}, 'Policy said ', h('code', {}, foreign(event.data.decision.effect))) : null,
      event.data?.reason || kindOf(event) === 'failed' ? h('p', {}, foreign(String(whyFailed(event.data ?? {})))) : null,
      event.data?.shown && by ? shownTo(d, by) : null,
      h('div', { class: 'stored' }, h('details', {}, h('summary', {}, foreign(e.position)), jsonView(e.event.text, 'stored event').element), e.mark));
  })));
}
