// The approvals that were given in advance.

import { ApiError, api, now } from '../api.js';
import { foreign, h, setForeign, setText, show } from '../render.js';
import { span } from '../time.js';
import { parties } from './parts.js';

/** @typedef {import('../types.js').Grant} Grant */

export function grantsView() {
  const error = h('p', { class: 'error', role: 'alert' });
  const list = h('ul', { class: 'grants' });
  const empty = h('div', { class: 'empty' }, h('p', {}, 'Nothing is approved in advance.'),
    h('p', { class: 'muted' }, 'A card that waits for you can approve calls like it: so many, for so long.'));
  const element = h('section', { 'aria-labelledby': 'grants-title' }, h('h1', { id: 'grants-title' }, 'Approved in advance'), error, list, empty);
  show(empty, false);
  void load();
  return { element, update() {}, tick() {}, command: () => false, title: 'Granted' };

  async function load() {
    try {
      const all = await api.grants();
      list.replaceChildren(...all.map((g) => item(g)));
      show(empty, all.length === 0);
      setText(error, '');
    } catch (e) {
      setForeign(error, e instanceof ApiError ? e.message : 'The page failed to show them. Load it again.');
    }
  }

  /** @param {Grant} g */
  function item(g) {
    const left = Date.parse(g.until) - now();
    const over = g.ended_by ? `taken back by ${g.ended_by}` : left <= 0 ? 'over' : g.left === 0 ? 'used up' : '';
    const end = h('button', { type: 'button', class: 'deny' }, 'Take back');
    end.addEventListener('click', async () => {
      end.disabled = true;
      try {
        await api.endGrant(g.id);
        await load();
      } catch (e) {
        end.disabled = false;
        setForeign(error, e instanceof ApiError ? e.message : 'The page failed to send it. Load it again.');
      }
    });
    return h('li', { class: 'card', 'data-grant': g.id },
      h('header', {}, h('h2', {}, foreign(g.tool)), h('span', { class: 'deadline' }, over ? foreign(over) : `${g.left} of ${g.uses} left, ${span(left)}`)),
      h('p', { class: 'who' }, 'For ', parties(/** @type {any} */ (g))),
      g.where.length > 0 ? h('ul', { class: 'conditions' }, ...g.where.map((c) => h('li', {}, foreign(words(c))))) : h('p', {}, 'With any arguments.'),
      h('p', {}, 'Given by ', foreign(g.by), g.reason ? ': ' : '. ', foreign(g.reason ?? ''), ' From ',
        h('a', { href: `#/calls/${encodeURIComponent(g.call_id)}` }, 'this call'), g.used_by.length > 0 ? `, used ${g.used_by.length} times.` : ', not used yet.'),
      over ? null : h('div', { class: 'actions' }, end));
  }
}

/** @param {import('../types.js').Condition} c */
function words(c) {
  if (c.at_most) return `${c.field} is at most ${c.at_most}`;
  if (c.at_least) return `${c.field} is at least ${c.at_least}`;
  return `${c.field} is ${c.equals?.text ?? 'null'}`;
}
