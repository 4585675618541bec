// How the servers behind the tools fare: whether calls are sent to them, and if not, why and
// since when.

import { ApiError, api, now } from '../api.js';
import { foreign, h, setForeign, setText, show } from '../render.js';
import { ago } from '../time.js';

/** @typedef {import('../types.js').Upstream} Upstream */

/** How often it is read anew, in ms. */
const EVERY = 5000;

export function upstreamsPanel() {
  const error = h('p', { class: 'error', role: 'alert' });
  const rows = h('tbody', {});
  const table = h('div', { class: 'table', tabindex: 0, role: 'group', 'aria-label': 'upstreams' }, h('table', {},
    h('thead', {}, h('tr', {}, ...['Upstream', 'State', 'Since', 'Why', 'Restarts', 'Tools'].map((n) => h('th', { scope: 'col' }, n)))), rows));
  const element = h('section', { class: 'log-health', 'aria-labelledby': 'upstreams-title' }, h('h2', { id: 'upstreams-title' }, 'Upstreams'), error, table);
  let readAt = -Infinity;
  show(element, false);
  void load();
  return { element, tick };

  function tick() {
    if (performance.now() - readAt >= EVERY && document.visibilityState === 'visible') void load();
  }

  async function load() {
    readAt = performance.now();
    try {
      const all = await api.upstreams();
      all.sort((a, b) => Number(b.health !== '') - Number(a.health !== ''));
      rows.replaceChildren(...all.map(row));
      show(element, all.length > 0);
      setText(error, '');
    } catch (e) {
      setForeign(error, e instanceof ApiError ? `${e.message} What you see of the upstreams is of before.` : 'The page failed to show the upstreams. Load it again.');
    }
  }
}

/** @param {Upstream} u */
function row(u) {
  const [words, tone] = state(u);
  return h('tr', { 'data-upstream': u.upstream },
    h('td', {}, h('code', {}, foreign(u.upstream))),
    h('td', {}, h('span', { class: `chip ${tone}` }, words)),
    h('td', {}, ago(u.since, now())),
    h('td', {}, ...why(u)),
    h('td', {}, String(u.restarts)),
    h('td', {}, u.quarantined > 0 ? `${u.tools}, ${u.quarantined} of them in quarantine` : String(u.tools)));
}

/**
 * @param {Upstream} u
 * @returns {[string, string]} in words, and how bad it is
 */
function state(u) {
  if (u.breaker === 'open') return ['no calls are sent', 'bad'];
  if (u.health) return ['in trouble', 'bad'];
  return u.breaker === 'half-open' ? ['one call is tried', 'warn'] : ['well', 'good'];
}

/** @param {Upstream} u */
function why(u) {
  const said = [];
  if (u.health) said.push(h('p', {}, foreign(u.health)));
  else if (u.stopped) said.push(h('p', { class: 'muted' }, `It stopped ${ago(u.stopped_at, now())}: `, foreign(u.stopped)));
  for (const note of u.notes ?? []) said.push(h('p', { class: 'muted' }, foreign(note)));
  return said;
}
