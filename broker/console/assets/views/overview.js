// What happens, in figures: calls, denials, holds, how soon people decide, what ended
// unknown, and how the log fares.

import { ApiError, api, now } from '../api.js';
import { chart, drawBars } from '../charts.js';
import { foreign, h, setForeign, setText, show } from '../render.js';
import { ago, duration, span } from '../time.js';

/**
 * @typedef {import('../types.js').Overview} Overview
 * @typedef {Exclude<keyof import('../types.js').Counts, never>} Count
 */

const WINDOWS = /** @type {[string, string][]} */ ([['1h', 'last hour'], ['6h', 'last 6 hours'], ['24h', 'last day'], ['7d', 'last week'], ['30d', 'last 30 days']]);
/** How often the figures are read anew, in ms. */
const EVERY = 5000;

/** @type {{title: string, layers: [Count, string][], means: string, more?: string}[]} */
const CHARTS = [
  { title: 'Calls', layers: [['calls', 'all']], means: 'made' },
  { title: 'Denied', layers: [['denied', 'bad']], means: 'by policy or by people', more: 'outcome=denied' },
  { title: 'Held', layers: [['held', 'warn']], means: 'for people' },
  { title: 'Approved', layers: [['approved', 'good']], means: 'by people' },
  { title: 'Failed', layers: [['failed', 'bad']], means: 'by the tool', more: 'outcome=failed' },
  { title: 'Unknown outcome', layers: [['unknown', 'warn']], means: 'it may have happened', more: 'outcome=unknown' },
  { title: 'Undecided', layers: [['expired', 'muted'], ['cancelled', 'all']], means: 'expired or cancelled' },
];

/** @param {string} query of the address */
export function overviewView(query) {
  const asked = new URLSearchParams(query).get('window') ?? '24h';
  const window = WINDOWS.some(([w]) => w === asked) ? asked : '24h';
  const error = h('p', { class: 'error', role: 'alert' });
  const nav = h('nav', { class: 'windows', 'aria-label': 'time' }, ...WINDOWS.map(([w, words]) => h('a', { href: `#/overview?window=${w}`, 'aria-current': w === window ? 'true' : false }, words)));
  const tiles = CHARTS.map((of) => new Tile(of));
  const decided = h('p', { class: 'figure' });
  const decidedMore = h('p', { class: 'muted' });
  const open = h('p', { class: 'figure' });
  const openMore = h('p', { class: 'muted' });
  const log = h('div', { class: 'log-health' });
  const element = h('section', { 'aria-labelledby': 'overview-title' }, h('div', { class: 'heading' }, h('h1', { id: 'overview-title' }, 'Overview'), nav), error,
    h('div', { class: 'tiles' }, ...tiles.map((t) => t.element), tile('Time to decision', decided, decidedMore), tile('Waiting now', open, openMore)),
    h('h2', {}, 'The log'), log);
  let readAt = -Infinity;
  void load();
  return { element, update() {}, tick, command: () => false, title: 'Overview' };

  function tick() {
    if (performance.now() - readAt >= EVERY && document.visibilityState === 'visible') void load();
  }

  async function load() {
    readAt = performance.now();
    try {
      fill(await api.overview(window));
      setText(error, '');
    } catch (e) {
      setForeign(error, e instanceof ApiError ? `${e.message} What you see is of before.` : 'The page failed to show it. Load it again.');
    }
  }

  /** @param {Overview} o */
  function fill(o) {
    for (const t of tiles) t.fill(o);
    const { decided: n, p50_ms: half, p95_ms: most } = o.decisions;
    setText(decided, n > 0 ? long(half) : 'none');
    setText(decidedMore, n === 1 ? 'of one decision' : n > 0 ? `half of ${n.toLocaleString()} decisions were faster; 95 of 100 took less than ${long(most)}` : 'no held call was decided');
    setText(open, String(o.open.held));
    setText(openMore, o.open.next ? `the first expires in ${span(Date.parse(o.open.next) - now())}; ${o.open.running} approved and running` : `${o.open.running} approved and running`);
    log.replaceChildren(...health(o.log));
  }
}

/**
 * How the log fares, the worst first, in words.
 * @param {Overview['log']} l
 */
function health(l) {
  const sealed = l.sealed_at ? `signed ${ago(l.sealed_at, now())}` : 'no checkpoint is signed yet';
  const behind = l.behind_records > 0 ? `The history is ${l.behind_records.toLocaleString()} records, ${long(l.behind_ms)}, behind the log.` : 'The history has everything that is in the log.';
  const waits = l.trees.filter((t) => t.waits);
  return [
    h('p', {}, h('span', { class: `chip ${l.warnings.length > 0 || l.spooled > 0 ? 'bad' : 'good'}` }, l.warnings.length > 0 || l.spooled > 0 ? 'in trouble' : 'well'), ` ${behind} Last checkpoint: ${sealed}.`),
    l.spooled > 0 ? h('p', {}, `${l.spooled} outcomes wait for the log to be back.`) : '',
    ...l.warnings.map((w) => h('p', {}, foreign(w.name), ': ', foreign(w.detail ?? ''))),
    h('div', { class: 'table', tabindex: 0, role: 'group', 'aria-label': 'logs' }, h('table', {}, h('thead', {}, h('tr', {}, ...['Log', 'Records', 'Under a checkpoint', 'Waits since'].map((n) => h('th', { scope: 'col' }, n)))),
      h('tbody', {}, ...l.trees.map((t) => h('tr', {}, h('td', {}, h('code', {}, foreign(t.log))), h('td', {}, t.records.toLocaleString()), h('td', {}, t.sealed.toLocaleString()), h('td', {}, t.waits ? ago(t.waits, now()) : '')))))),
    waits.length === 0 && l.trees.length > 0 ? h('p', { class: 'muted' }, 'Every record is under a signed checkpoint.') : '',
  ];
}

/** @param {number} ms */
function long(ms) {
  return ms < 60_000 ? duration(ms) : span(ms);
}

/**
 * @param {string} title
 * @param {...Node} parts
 */
function tile(title, ...parts) {
  return h('div', { class: 'tile' }, h('h2', {}, title), ...parts);
}

/** A chart with its figure. */
class Tile {
  /** @param {typeof CHARTS[number]} of */
  constructor(of) {
    this.of = of;
    this.sum = h('p', { class: 'figure' });
    this.svg = chart();
    this.more = h('p', { class: 'muted' }, of.more ? h('a', { href: `#/history?${of.more}` }, of.means) : of.means);
    this.element = tile(of.title, this.sum, this.svg, this.more);
  }

  /** @param {Overview} o */
  fill(o) {
    const layers = this.of.layers.map(([count, tone]) => ({ class: `bar-${tone}`, values: o.series.map((m) => m[count]) }));
    const sum = this.of.layers.reduce((n, [count]) => n + o.total[count], 0);
    const most = Math.max(0, ...o.series.map((m) => this.of.layers.reduce((n, [count]) => n + m[count], 0)));
    setText(this.sum, sum.toLocaleString());
    drawBars(this.svg, layers, `${this.of.title}: ${sum} in all, at most ${most} in ${span(o.step_s * 1000)}`);
    show(this.more, true);
  }
}
