// The page: it joins the store, the stream, the API and the views.

import { ApiError, api, now } from './api.js';
import { Feed } from './feed.js';
import { EXPLAINED, commandOf } from './keys.js';
import { Notices } from './notices.js';
import { foreign, h, setAttribute, setText, show } from './render.js';
import { alikeOf, counts, initial, reduce, waits } from './store.js';
import { span } from './time.js';
import { agentsView } from './views/agents.js';
import { alikeView } from './views/alike.js';
import { callView } from './views/call.js';
import { inboxView } from './views/inbox.js';
import { grantsView } from './views/grants.js';
import { historyView } from './views/history.js';
import { liveView } from './views/live.js';
import { overviewView } from './views/overview.js';
import { policyView } from './views/policy.js';
import { toolsView } from './views/tools.js';

/** How often the held calls are read anyway: not every approver may read the stream of what they decide. */
const POLL = 10_000;
const SETTLE = 150;
/** The least time between two pictures of what the stream tells, in ms. */
const SLOWEST_PICTURE = 100;
/** A clock that jumped this far was asleep. */
const ASLEEP = 15_000;
const STALE = 3000;

/**
 * @param {string} id
 * @returns {any}
 */
const $ = (id) => document.getElementById(id);

let state = initial();
const notices = new Notices();
/** @type {any} */
let view = null;
/** @type {''|'later'|'now'} */
let drawing = '';
/** @type {any} */
let drawLater = null;
let drawnAt = 0;
let drawingTook = 0;

/**
 * Draws soon: what the stream tells never so often that a person who does something has
 * to wait for it.
 * @param {import('./store.js').Action} action
 */
function dispatch(action) {
  state = reduce(state, action);
  const wait = action.type === 'records' ? drawnAt + Math.max(SLOWEST_PICTURE, 4 * drawingTook) - performance.now() : 0;
  if (drawing === 'now' || (drawing === 'later' && wait > 0)) return;
  clearTimeout(drawLater);
  drawing = wait > 0 ? 'later' : 'now';
  if (wait > 0) drawLater = setTimeout(drawNow, wait);
  else queueMicrotask(drawNow);
}

function drawNow() {
  drawing = '';
  drawnAt = performance.now();
  draw();
  drawingTook = performance.now() - drawnAt;
}

const feed = new Feed(
  {
    open: (cursor) => new WebSocket(`${location.origin.replace(/^http/, 'ws')}/v1/stream?batch=1${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`),
    later: (work, ms) => setTimeout(work, ms),
    cancel: (timer) => clearTimeout(timer),
    now: () => Date.now(),
    random: () => Math.random(),
  },
  {
    records(records) {
      dispatch({ type: 'records', records });
      if (records.some((r) => r.event.data?.decision?.effect === 'hold' || state.held.has(r.event.subject))) refreshSoon(SETTLE);
    },
    link(link) {
      const recovered = link.status === 'live' && state.link.status !== 'live';
      dispatch({ type: 'link', link });
      if (recovered) refreshSoon(0);
    },
    viewer: (viewer) => dispatch({ type: 'viewer', viewer }),
    replica: (replica) => dispatch({ type: 'replica', replica }),
    lost: () => void checkLogin(),
    reset() {
      dispatch({ type: 'reset' });
      void loadHistory();
      refreshSoon(0);
    },
  },
);

/** @type {any} */
let planned = null;
let plannedAt = Infinity;
let refreshedAt = -Infinity;
let refreshTook = 0;
let refreshing = false;
let again = false;

/**
 * Plans to read the held calls: not later than planned already, and, however much happens,
 * a while after they were read last.
 * @param {number} ms
 */
function refreshSoon(ms) {
  const at = Math.max(performance.now() + ms, refreshedAt + 4 * refreshTook);
  if (at >= plannedAt) return;
  clearTimeout(planned);
  plannedAt = at;
  planned = setTimeout(refresh, at - performance.now());
}

function refreshNever() {
  clearTimeout(planned);
  plannedAt = Infinity;
}

/** Reads the held calls; once more if it was asked for meanwhile. */
async function refresh() {
  refreshNever();
  if (refreshing) {
    again = true;
    return;
  }
  refreshing = true;
  again = false;
  const from = performance.now();
  try {
    const calls = await api.held();
    dispatch({ type: 'held', calls, at: Date.now() });
    notices.tell(calls.filter((c) => c.may_vote));
    await settleVanished();
  } catch (e) {
    failed(e);
  } finally {
    refreshing = false;
    refreshedAt = performance.now();
    refreshTook = refreshedAt - from;
  }
  if (state.viewer) refreshSoon(again || missing() ? SETTLE * 3 : POLL);
}

let patience = 5;

/** Whether the stream told of a held call that the broker's list did not have yet. */
function missing() {
  const some = [...state.calls.values()].some((c) => waits(c) && !state.held.has(c.call_id) && Date.parse(c.expires ?? '') > now());
  patience = some ? patience - 1 : 5;
  return some && patience > 0;
}

/** Finds out what became of cards that are not held any more, where no event told. */
async function settleVanished() {
  const gone = [...state.held.values()].filter((c) => c.state === 'released' && !asked.has(c.call_id));
  for (const { call_id: id } of gone.slice(0, 20)) {
    asked.add(id);
    try {
      dispatch({ type: 'call', call: await api.call(id, 'metadata') });
    } catch (e) {
      if (!(e instanceof ApiError && e.status === 404)) throw e; // not found: all that is known is that it is decided
    }
  }
}

/** @type {Set<string>} */
const asked = new Set();

/** @param {unknown} e */
function failed(e) {
  if (!(e instanceof ApiError)) throw e;
  if (e.status === 401) showLogin();
  else dispatch({ type: 'inbox failed', error: e.message });
}

async function loadHistory() {
  try {
    dispatch({ type: 'history', calls: await api.recent() });
  } catch (e) {
    if (!(e instanceof ApiError)) throw e; // the live view goes on without
  }
}

async function checkLogin() {
  try {
    dispatch({ type: 'viewer', viewer: await api.whoami() });
  } catch (e) {
    failed(e);
  }
}

/**
 * Sends what a person decided on a call, and shows what became of it.
 * @param {() => Promise<import('./types.js').CallDetail|undefined>} request
 */
async function send(request) {
  try {
    const call = await request();
    if (call) dispatch({ type: 'call', call });
  } catch (e) {
    if (e instanceof ApiError && e.status === 401) showLogin();
    throw e;
  } finally {
    refreshSoon(SETTLE);
  }
}

/** @type {(call: import('./types.js').HeldCall) => import('./api.js').Shown} */
const shownOf = (call) => ({ digest: call.digest, shown: call.sentence?.digest });

/** @type {import('./views/card.js').Deciding & {forget: (ids: string[]) => void}} */
const page = {
  decide: (call, verdict, reason) => send(() => api.decide(call.call_id, verdict, shownOf(call), reason)),
  edit: (call, args, reason) => send(() => api.edit(call.call_id, shownOf(call), args, reason)),
  forecast: (call) => api.forecast(call.call_id, call.digest),
  stop: (agent, reason) => send(() => api.revoke('agent', agent, reason).then(() => undefined)),
  grant: (call, body) => send(async () => {
    await api.grant(body);
    return api.call(call.call_id, 'metadata');
  }),
  viewer: () => state.viewer?.principal ?? '',
  alike: (call) => alikeOf(state, call.alike ?? '').length,
  forget(/** @type {string[]} */ ids) {
    for (const id of ids) asked.delete(id);
    dispatch({ type: 'forget', ids });
  },
};

/** The pages by their path, and their links in the bar; what is none of them is the inbox. */
const PAGES = /** @type {Record<string, {link: string, view: (query: string) => any}>} */ ({
  '/live': { link: 'to-live', view: (query) => liveView({ filter: new URLSearchParams(query).get('q') ?? '', setFilter }) },
  '/history': { link: 'to-history', view: historyView },
  '/overview': { link: 'to-overview', view: overviewView },
  '/grants': { link: 'to-grants', view: grantsView },
  '/agents': { link: 'to-agents', view: agentsView },
  '/tools': { link: 'to-tools', view: toolsView },
  '/policy': { link: 'to-policy', view: policyView },
});
/** Pages about one thing, by the beginning of their path. */
const ABOUT = /** @type {Record<string, (id: string) => any>} */ ({
  calls: (id) => callView(id, page),
  alike: (key) => alikeView(key, page),
});
const INBOX = { link: 'to-inbox', view: () => inboxView(page, notices.element) };

function route() {
  if (!state.viewer) return;
  const [path, query = ''] = location.hash.slice(1).split('?');
  const [, kind, id] = /^\/(calls|alike)\/([^/]+)$/.exec(path) ?? [];
  const shown = kind ? { link: '', view: () => ABOUT[kind](decoded(id)) } : Object.hasOwn(PAGES, path) ? PAGES[path] : INBOX;
  open(shown.view(query));
  for (const { link } of [INBOX, ...Object.values(PAGES)]) setAttribute($(link), 'aria-current', link === shown.link ? 'page' : false);
  if (searching) view.command('search');
  searching = false;
  if (shown.link) $('pages').scrollLeft = $(shown.link).offsetLeft - 40; // on a phone not all of them fit
}

/** @param {string} text of the address, where anything can stand */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} q */
function setFilter(q) {
  history.replaceState(null, '', q ? `#/live?q=${encodeURIComponent(q)}` : '#/live');
}

/** @param {any} next */
function open(next) {
  view = next;
  $('main').replaceChildren(view.element);
  draw();
}

function draw() {
  if (!state.viewer) return;
  view?.update(state);
  const { waiting, mine } = counts(state);
  setText($('count'), String(waiting));
  show($('count'), waiting > 0);
  document.title = `${waiting > 0 ? `(${waiting}) ` : ''}${view?.title ?? ''} - Deed`;
  announce(waiting, mine);
  $('who').replaceChildren(foreign(state.viewer.principal), state.viewer.roles.length > 0 ? h('small', {}, foreign(state.viewer.roles.join(', '))) : '');
  show($('me'), true);
  show($('pages'), true);
  drawLink();
}

/** Says how far what is shown can be relied on. */
function drawLink() {
  const { status, since, retryAt } = state.link;
  const at = Date.now();
  const trouble = troubleOf(state.replica);
  const text = (state.inbox.error || trouble) && status === 'live' ? 'behind' : status === 'waiting' || status === 'connecting' ? 'not live' : status;
  setText($('link-text'), text);
  setAttribute($('link'), 'data-status', text);
  const stale = status !== 'live' && at - liveUntil > STALE;
  const retry = retryAt && retryAt > at ? ` Next try in ${span(retryAt - at + 999)}.` : '';
  show($('banner'), Boolean(state.viewer) && (stale || state.inbox.error !== '' || trouble !== ''));
  if (status === 'live') liveUntil = at;
  setText($('banner'), stale && status === 'catching up' ? 'Catching up: what you see is behind.'
    : stale ? `Not live for ${span(at - Math.min(liveUntil, since || at))}: what you see may have changed.${retry}`     : state.inbox.error || trouble);
}

/**
 * What is wrong with the replica that the page is of, in words.
 * @param {import('./types.js').Replica|undefined} replica
 */
function troubleOf(replica) {
  if (replica && !replica.log_available) return 'The log cannot be reached: nothing can be decided or done until it is back.';
  if (replica && replica.behind_seconds * 1000 > STALE) return `The broker's history is ${span(replica.behind_seconds * 1000)} behind: what you see may be old.`;
  return '';
}


let liveUntil = Date.now();
let announced = '';
/** @type {any} */
let announcing = null;

/**
 * Tells people who listen how many calls wait, once it stays so for a moment.
 * @param {number} waiting
 * @param {number} mine
 */
function announce(waiting, mine) {
  const text = waiting === 0 ? 'No call waits.' : `${waiting} ${waiting === 1 ? 'call waits' : 'calls wait'}, ${mine} for you.`;
  if (text === announced) return;
  announced = text;
  clearTimeout(announcing);
  announcing = setTimeout(() => setText($('announcer'), text), 1000);
}

function showLogin() {
  feed.stop();
  refreshNever();
  state = initial();
  view = null;
  show($('me'), false);
  show($('pages'), false);
  show($('banner'), false);
  setText($('link-text'), 'logged out');
  setAttribute($('link'), 'data-status', 'logged out');
  document.title = 'Log in - Deed';
  const next = location.hash.startsWith('#/') ? `?next=${encodeURIComponent(location.hash.slice(1))}` : '';
  $('main').replaceChildren(h('section', { class: 'welcome' }, h('h1', {}, 'See what agents do, and decide on what waits'),
    h('p', { class: 'muted' }, 'You decide as yourself: log in with the account that your policies know.'),
    h('p', {}, h('a', { class: 'button primary', href: `/login${next}`, id: 'log-in' }, 'Log in'))));
}

function listen() {
  addEventListener('hashchange', () => {
    if (location.hash !== '#main') route();
  });
  addEventListener('online', () => feed.status !== 'live' && state.viewer && feed.connect());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible' && state.viewer) refreshSoon(0);
  });
  document.addEventListener('keydown', onKey);
  $('skip').addEventListener('click', (/** @type {Event} */ e) => {
    e.preventDefault();
    $('main').focus();
  });
  $('help-button').addEventListener('click', () => $('help').showModal());
  $('help-keys').append(...EXPLAINED.flatMap(([keys, what]) => [h('dt', {}, h('kbd', {}, keys)), h('dd', {}, what)]));
  let before = Date.now();
  setInterval(() => {
    const at = Date.now();
    if (at - before > ASLEEP && state.viewer && feed.status !== 'ended') feed.connect();
    before = at;
    if (!state.viewer) return;
    view?.tick();
    drawLink();
  }, 1000);
}

/** @param {KeyboardEvent} e */
function onKey(e) {
  const at = document.activeElement;
  const types = !(at instanceof HTMLInputElement && at.type === 'checkbox'); // into a box nothing is typed
  const command = commandOf(e, { tag: types ? at?.tagName ?? '' : '', dialog: $('help').open });
  if (!command || !state.viewer) return;
  if (command === 'help') $('help').showModal();
  else if (!view?.command(command) && !(command === 'search' && search())) return;
  e.preventDefault();
}

let searching = false;

/** Goes to where there is something to search in. */
function search() {
  searching = true;
  location.hash = '#/history';
  return true;
}

async function start() {
  listen();
  await checkLogin();
  if (!state.viewer) {
    if (state.inbox.error) setTimeout(() => location.reload(), POLL);
    setText($('banner'), state.inbox.error);
    show($('banner'), state.inbox.error !== '');
    return;
  }
  route();
  feed.connect();
  void loadHistory();
  notices.resume();
}

void start();
