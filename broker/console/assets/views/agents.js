// Who acts for whom, and the means to stop them.

import { ApiError, api, now } from '../api.js';
import { foreign, h, setForeign, setText, show } from '../render.js';
import { ago } from '../time.js';
import { row } from './live.js';
import { counted } from './words.js';

/**
 * @typedef {import('../types.js').Agent} Agent
 * @typedef {import('../types.js').Revocation} Revocation
 */

/** How many of an agent's calls are shown. */
const LAST = 10;

export function agentsView() {
  const error = h('p', { class: 'error', role: 'alert' });
  const agents = h('ul', { class: 'agents' });
  const stopped = h('ul', { class: 'agents' });
  const stoppedPart = h('div', {}, h('h2', {}, 'Stopped now'), stopped);
  const empty = h('div', { class: 'empty' }, h('p', {}, 'No agent has called yet, in what you may read.'));
  const element = h('section', { 'aria-labelledby': 'agents-title' }, h('h1', { id: 'agents-title' }, 'Agents'), error, stoppedPart, agents, empty);
  show(empty, false);
  show(stoppedPart, false);
  void load();
  return { element, update() {}, tick() {}, command: () => false, title: 'Agents' };

  async function load() {
    try {
      const [known, inForce] = await Promise.all([api.agents(), api.revocations()]);
      agents.replaceChildren(...known.map((a) => agentItem(a, inForce)));
      stopped.replaceChildren(...inForce.map((r) => stoppedItem(r)));
      show(stoppedPart, inForce.length > 0);
      show(empty, known.length === 0);
      setText(error, '');
    } catch (e) {
      failed(e);
    }
  }

  /** @param {unknown} e */
  function failed(e) {
    setForeign(error, e instanceof ApiError ? e.message : 'The page failed to show them. Load it again.');
  }

  /**
   * @param {Agent} a
   * @param {Revocation[]} inForce
   */
  function agentItem(a, inForce) {
    const isStopped = inForce.some((r) => r.kind === 'agent' && r.value === a.agent);
    return h('li', { class: 'card', 'data-agent': a.agent },
      h('header', {}, h('h2', {}, foreign(a.agent)), isStopped ? h('span', { class: 'chip bad' }, 'stopped') : null, h('span', { class: 'deadline' }, a.calls > 0 ? `last call ${ago(a.last, now())}` : 'has not called yet')),
      ...a.calls > 0 ? did(a) : [],
      a.owner ? h('p', { class: 'muted' }, 'Answered for by ', foreign(a.owner), a.purpose ? ': ' : '', foreign(a.purpose ?? '')) : null,
      a.calls > 0 ? lastCalls(a.agent) : null,
      isStopped ? null : asking('Stop this agent…', `Stop ${a.agent} for everybody, at once? Its calls are refused, those that wait are closed, those that run are cancelled.`,
        'Stop it', 'danger', (reason) => api.revoke('agent', a.agent, reason)));
  }

  /** @param {Revocation} r */
  function stoppedItem(r) {
    return h('li', { class: 'card', 'data-revocation': r.id },
      h('header', {}, h('h2', {}, foreign(`${r.kind} ${r.value}`)), h('span', { class: 'deadline' }, ago(r.since, now()))),
      h('p', {}, r.by ? 'Stopped by ' : 'Stopped at the word of its issuer', foreign(r.by), ': ', foreign(r.reason)),
      asking('Let it go on…', 'Let it act again from now on?', 'Let it go on', 'primary', (reason) => api.lift(r.id, reason)));
  }

  /**
   * A button that asks for a reason before it does anything.
   * @param {string} label
   * @param {string} question
   * @param {string} yes
   * @param {string} tone
   * @param {(reason: string) => Promise<unknown>} act
   */
  function asking(label, question, yes, tone, act) {
    const input = h('input', { type: 'text', maxlength: 1000, autocomplete: 'off', required: true, 'aria-label': 'why' });
    const send = h('button', { type: 'submit', class: tone }, yes);
    const first = h('button', { type: 'button', class: tone === 'danger' ? 'deny' : '', onclick: () => ask(true) }, label);
    const form = h('form', { class: 'question', onsubmit: (/** @type {Event} */ e) => void submit(e) }, h('p', { class: 'ask' }, foreign(question)),
      h('label', {}, 'Why, for the record'), input, h('div', { class: 'actions' }, send, h('button', { type: 'button', class: 'quiet', onclick: () => ask(false) }, 'Back')));
    show(form, false);
    return h('div', { class: 'actions' }, first, form);

    /** @param {boolean} on */
    function ask(on) {
      show(form, on);
      show(first, !on);
      if (on) input.focus();
      else first.focus();
    }

    /** @param {Event} e */
    async function submit(e) {
      e.preventDefault();
      send.disabled = true;
      try {
        await act(input.value.trim());
        await load();
      } catch (e) {
        send.disabled = false;
        failed(e);
      }
    }
  }
}

/**
 * What an agent did, in numbers.
 * @param {Agent} a
 */
function did(a) {
  return [h('p', {}, a.principals.length > 0 ? 'For ' : 'On its own', ...listed(a.principals)),
    h('p', { class: 'muted' }, 'Calls ', ...listed(a.tools)),
    h('p', {}, `${counted(a.calls, 'call')}, ${a.denied} denied, ${a.held} waiting now. `, h('a', { href: `#/history?agent=${encodeURIComponent(a.agent)}` }, 'Step by step'))];
}

/**
 * What an agent did last, once somebody wants to know.
 * @param {string} agent
 */
function lastCalls(agent) {
  const list = h('ol', { class: 'feed' });
  const told = h('p', { class: 'muted' });
  let asked = false;
  return h('details', { ontoggle: async () => {
    if (asked) return;
    asked = true;
    try {
      const { items } = await api.history({ agent }, { limit: LAST });
      list.replaceChildren(...items.map((call) => {
        const item = h('li', {});
        row(item, call);
        return item;
      }));
      setText(told, items.length === 0 ? 'None that you may see.' : '');
    } catch (e) {
      asked = false;
      setForeign(told, e instanceof ApiError ? e.message : 'The page failed to show them.');
    }
  } }, h('summary', {}, 'Last calls'), told, list);
}

/** @param {string[]} names */
function listed(names) {
  return names.flatMap((name, i) => [i > 0 ? ', ' : '', foreign(name)]);
}
