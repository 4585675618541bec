// What can be called: each tool with its schema, what became of its last calls, and, where
// its definition has changed, what has, for a person to review.

import { ApiError, api } from '../api.js';
import { changes } from '../diff.js';
import { foreign, h, setForeign, setText, show } from '../render.js';
import { diffView } from './edit.js';
import { hints } from './facts.js';
import { jsonView } from './json.js';
import { upstreamsPanel } from './upstreams.js';
import { policyLink } from './parts.js';
import { stateOf } from './words.js';

/** @typedef {import('../types.js').Tool} Tool */

const LAST = 200;
/** How long after a change is shown nobody can say yes to it, in ms. */
const ARMING = 400;

export function toolsView() {
  const error = h('p', { class: 'error', role: 'alert' });
  const list = h('ul', { class: 'agents' });
  const empty = h('div', { class: 'empty' }, h('p', {}, 'There is no tool that you may see.'));
  const filter = h('input', { id: 'tool-filter', type: 'search', placeholder: 'name or description', autocomplete: 'off', oninput: sift });
  const upstreams = upstreamsPanel();
  const element = h('section', { 'aria-labelledby': 'tools-title' },
    h('div', { class: 'heading' }, h('h1', { id: 'tools-title' }, 'Tools'), h('div', { class: 'filter' }, h('label', { for: 'tool-filter' }, 'Show only'), filter)), error, upstreams.element, list, empty);
  show(empty, false);
  void load();
  return { element, update() {}, tick: upstreams.tick, command: () => false, title: 'Tools' };

  async function load() {
    try {
      const tools = await api.tools();
      tools.sort((a, b) => Number(b.finding !== '') - Number(a.finding !== ''));
      list.replaceChildren(...tools.map(item));
      show(empty, tools.length === 0);
      setText(error, '');
    } catch (e) {
      failed(e);
    }
  }

  /** @param {unknown} e */
  function failed(e) {
    setForeign(error, e instanceof ApiError ? e.message : 'The page failed to show them. Load it again.');
  }

  function sift() {
    const wanted = filter.value.toLowerCase();
    for (const li of /** @type {Iterable<HTMLElement>} */ (list.children)) show(li, (li.textContent ?? '').toLowerCase().includes(wanted));
  }

  /** @param {Tool} t */
  function item(t) {
    const review = h('div', {});
    return h('li', { class: 'card', 'data-tool': t.name },
      h('header', {}, h('h2', {}, foreign(t.name)), t.finding ? h('span', { class: 'chip bad' }, 'in quarantine') : null, hints(t.annotations),
        h('span', { class: 'deadline' }, 'domain ', foreign(t.domain))),
      t.title ? h('p', {}, foreign(t.title)) : null,
      t.description ? h('p', { class: 'muted' }, foreign(t.description.slice(0, 2000), { multiline: true })) : null,
      t.finding ? h('p', {}, foreign(t.finding)) : null,
      t.finding ? h('div', { class: 'actions' }, h('button', { type: 'button', onclick: (/** @type {Event} */ e) => void look(t, review, /** @type {HTMLElement} */ (e.target)) }, 'See what has changed')) : null,
      review,
      opened('Its last calls', () => use(t)),
      t.policies.length > 0 ? opened('Who can call it, and what is held', () => coverage(t)) : null,
      opened('What it takes', async () => [t.input_schema ? jsonView(t.input_schema.text, `input schema of ${t.name}`).element : h('p', { class: 'muted' }, 'It gives no schema.'),
        h('p', { class: 'digest-line' }, 'Digest of its definition ', h('code', { class: 'digest' }, t.digest))]));
  }

  /**
   * Something that is looked up when somebody opens it.
   * @param {string} title
   * @param {() => Promise<(Node|string)[]>} find
   */
  function opened(title, find) {
    const inside = h('div', { class: 'inside' });
    let asked = false;
    return h('details', { ontoggle: async () => {
      if (asked) return;
      asked = true;
      try {
        inside.replaceChildren(...await find());
      } catch (e) {
        asked = false;
        inside.replaceChildren(h('p', { class: 'error' }, foreign(e instanceof ApiError ? e.message : 'The page failed to show it.')));
      }
    } }, h('summary', {}, title), inside);
  }

  /**
   * The policies that can have a say in its calls: those that permit, then those that forbid or hold.
   * @param {Tool} t
   */
  async function coverage(t) {
    const { policies } = await api.policy();
    const about = policies.filter((p) => t.policies.includes(p.id)).sort((a, b) => b.effect.localeCompare(a.effect));
    if (!about.some((p) => p.effect === 'permit')) return [h('p', {}, 'Nobody can call it: no policy permits it.')];
    return [h('ul', { class: 'coverage' }, ...about.map((p) => {
      const [word, tone] = p.approvers.length > 0 ? [`held for ${p.approvers.join(' or ')}`, 'held'] : p.effect === 'permit' ? ['permits', 'good'] : ['forbids', 'bad'];
      return h('li', {}, h('p', {}, h('span', { class: `chip ${tone}` }, foreign(word)), ' ', policyLink(p.id), p.reason ? ' ' : '', p.reason ? foreign(p.reason) : null),
        h('pre', { class: 'json', tabindex: 0, role: 'group', 'aria-label': `policy ${p.id}` }, foreign(p.text, { multiline: true })));
    }))];
  }

  /** @param {Tool} t */
  async function use(t) {
    const { items: calls, next } = await api.history({ tool: t.name }, { limit: LAST });
    if (calls.length === 0) return [h('p', { class: 'muted' }, 'Nobody has called it yet, in what you may read.')];
    const count = (/** @type {(c: import('../types.js').Call) => string[]} */ of) => {
      const found = new Map();
      for (const c of calls) for (const name of new Set(of(c))) if (name) found.set(name, (found.get(name) ?? 0) + 1);
      return [...found].sort((a, b) => b[1] - a[1]);
    };
    const failed = calls.filter((c) => c.outcome === 'failed' || c.outcome === 'unknown').length;
    const rows = /** @type {[string, [string, number][]][]} */ ([
      ['Ended', count((c) => [stateOf(c)[0]])], ['Policy said', count((c) => [c.effect ?? ''])], ['By the policies', count((c) => c.policies)],
      ['By', count((c) => c.chain)], ['For', count((c) => [c.principal])],
    ]);
    return [h('p', {}, `Of its last ${calls.length}${next ? '' : ', which are all,'} calls ${failed} failed: ${Math.round((100 * failed) / calls.length)} %. `,
      h('a', { href: `#/history?tool=${encodeURIComponent(t.name)}` }, 'See them')),
    h('dl', { class: 'facts' }, ...rows.filter(([, counts]) => counts.length > 0).flatMap(([name, counts]) => [h('dt', {}, name),
      h('dd', {}, ...counts.slice(0, 12).flatMap(([what, n], i) => [i > 0 ? ', ' : '', foreign(what), ` ${n}`]))]))];
  }

  /**
   * @param {Tool} t
   * @param {HTMLElement} place
   * @param {HTMLElement} from what had the focus
   */
  async function look(t, place, from) {
    try {
      const d = await api.definition(t.name);
      const shownAt = performance.now();
      const yes = h('button', { type: 'button', class: 'primary' }, 'Let it be called, as it is now');
      yes.addEventListener('click', async () => {
        if (performance.now() - shownAt < ARMING) return;
        yes.disabled = true;
        try {
          await api.review(t.name, d.digest);
          await load();
          element.querySelector('h1')?.scrollIntoView({ block: 'nearest' });
        } catch (e) {
          yes.disabled = false;
          failed(e);
        }
      });
      const box = h('div', { class: 'question', role: 'group', tabindex: -1, 'aria-label': 'what has changed' },
        h('p', { class: 'ask' }, d.reviewed ? 'What has changed since somebody reviewed it' : 'Nobody has reviewed it yet. This is what it says of itself'),
        d.reviewed ? diffView(changes(d.reviewed.text, d.definition.text)) : jsonView(d.definition.text, `definition of ${t.name}`).element,
        h('p', { class: 'digest-line' }, 'Digest ', h('code', { class: 'digest' }, d.digest)),
        h('div', { class: 'actions' }, yes, h('button', { type: 'button', class: 'quiet', onclick: () => { place.replaceChildren(); from.focus(); } }, 'Back')));
      place.replaceChildren(box);
      box.focus();
    } catch (e) {
      failed(e);
    }
  }
}
