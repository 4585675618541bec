// The policies: what is in force and what is odd about it, a call to try on them, and what a
// draft would have changed lately.

import { ApiError, api } from '../api.js';
import { foreign, h, setForeign, setText } from '../render.js';
import { span } from '../time.js';
import { reasonList } from './parts.js';

/** @typedef {import('../types.js').Policy} Policy */

/** @param {string} query of the address: which policy somebody came to see */
export function policyView(query) {
  const wanted = new URLSearchParams(query).get('id') ?? '';
  const error = h('p', { class: 'error', role: 'alert' });
  const body = h('div', { class: 'policies' });
  const element = h('section', { 'aria-labelledby': 'policy-title' }, h('h1', { id: 'policy-title' }, 'Policy'), error, body);
  void load();
  return { element, update() {}, tick() {}, command: () => false, title: 'Policy' };

  async function load() {
    try {
      const p = await api.policy();
      body.replaceChildren(
        h('p', { class: 'digest-line' }, 'In force: ', h('code', { class: 'digest' }, p.policy_set)),
        ...(p.files.length > 0 ? [findingsView(p.findings), listing(p), files(p), trial(), draft(p)]
          : [h('p', { class: 'muted' }, 'The text of the policies is for those who may read the broker\'s own domain, deed.')]));
      const row = [...body.querySelectorAll('tr')].find((r) => wanted && r.dataset.policy === wanted);
      row?.classList.add('current');
      row?.scrollIntoView({ block: 'center' });
    } catch (e) {
      setForeign(error, messageOf(e));
    }
  }
}

/** @param {unknown} e */
function messageOf(e) {
  return e instanceof ApiError ? e.message : 'The page failed to show it. Load it again.';
}

/** @param {import('../types.js').Finding[]} found */
function findingsView(found) {
  if (found.length === 0) return h('p', {}, h('span', { class: 'chip good' }, 'well'), ' Nothing is odd about them, and they fit every tool.');
  return h('ul', { class: 'findings' }, ...found.map((f) => h('li', {}, h('span', { class: `chip ${f.severity === 'warning' ? 'warn' : 'bad'}` }, foreign(f.severity)), ' ',
    f.file ? h('code', {}, foreign(`${f.file}${f.line ? `:${f.line}` : ''}`)) : null, ' ', foreign(f.message), f.hint ? h('small', {}, ' ', foreign(f.hint)) : null,
    f.tools.length > 0 ? h('small', {}, ' ', foreign(f.tools.join(', '))) : null)));
}

/** @param {Policy} p */
function listing(p) {
  return h('div', {}, h('h2', {}, 'What they say'), h('div', { class: 'table', tabindex: 0, role: 'group', 'aria-label': 'policies' }, h('table', {},
    h('thead', {}, h('tr', {}, ...['Policy', 'Effect', 'Lifted by', 'Within', 'Why', 'Calls'].map((n) => h('th', { scope: 'col' }, n)))),
    h('tbody', {}, ...p.policies.map((i) => h('tr', { 'data-policy': i.id }, h('td', {}, h('code', { class: 'policy' }, foreign(i.id))), h('td', {}, foreign(i.effect)), h('td', {}, foreign(i.approvers.join(', '))),
      h('td', {}, i.expires_s ? span(i.expires_s * 1000) : ''), h('td', {}, foreign(i.reason ?? '')), h('td', {}, h('a', { href: `#/history?policy=${encodeURIComponent(i.id)}` }, 'see'))))))));
}

/** @param {Policy} p */
function files(p) {
  return h('div', {}, h('h2', {}, 'The text'), ...p.files.map((f) => h('details', {}, h('summary', {}, foreign(f.name)),
    h('pre', { class: 'json', tabindex: 0, role: 'group', 'aria-label': `policies of ${f.name}` }, foreign(f.text, { multiline: true })))));
}

/** A form to try a call that nobody makes. */
function trial() {
  const field = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ hint, value = '') => {
    const input = h('input', { id: `try-${name}`, type: 'text', autocomplete: 'off', spellcheck: 'false', placeholder: hint });
    input.value = value;
    return { input, element: h('div', {}, h('label', { for: `try-${name}` }, label), input) };
  };
  const tool = field('tool', 'Tool', 'payments.refund');
  const person = field('person', 'For the person', 'none: the agent on its own');
  const roles = field('roles', 'Who has the roles', 'support, lead');
  const agent = field('agent', 'By the agent', 'copilot');
  const approvals = field('approvals', 'Approved by how many', '', '0');
  const by = field('by', 'Who have the roles', 'lead');
  const args = h('textarea', { id: 'try-args', rows: 3, class: 'code', spellcheck: 'false' });
  args.value = '{}';
  const answer = h('div', { role: 'status' });
  const list = (/** @type {string} */ text) => text.split(/[\s,]+/).filter(Boolean);
  return h('div', {}, h('h2', {}, 'Try a call'), h('form', { class: 'question neutral', onsubmit: async (/** @type {Event} */ e) => {
    e.preventDefault();
    try {
      JSON.parse(args.value);
    } catch {
      answer.replaceChildren(h('p', { class: 'error' }, 'The arguments are not JSON.'));
      return;
    }
    const who = { tool: tool.input.value.trim(), principal: person.input.value.trim() || undefined, roles: list(roles.input.value),
      agents: list(agent.input.value).map((id) => ({ id })), approvals: Number(approvals.input.value) || 0, approver_roles: list(by.input.value) };
    try {
      const v = await api.tryCall(`${JSON.stringify(who).slice(0, -1)},"arguments":${args.value}}`);
      const tone = { allow: 'good', hold: 'held', deny: 'bad' }[v.effect ?? ''] ?? 'muted';
      answer.replaceChildren(h('p', {}, h('span', { class: `chip ${tone}` }, foreign(v.effect ?? 'nothing')), ' ', foreign(v.text ?? ''),
        v.effect === 'hold' ? ` Waits for ${v.needed || 1} of ` : '', v.effect === 'hold' ? foreign(v.approvers.join(', ')) : ''),
      v.reasons.length > 0 ? reasonList(v.reasons) : '', ...v.errors.map((text) => h('p', { class: 'error' }, foreign(text))));
    } catch (e) {
      answer.replaceChildren(h('p', { class: 'error' }, foreign(messageOf(e))));
    }
  } }, h('div', { class: 'search' }, tool.element, person.element, roles.element, agent.element, approvals.element, by.element),
  h('label', { for: 'try-args' }, 'Arguments'), args, h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'primary' }, 'What would happen?')), answer));
}

/** @param {Policy} p */
function draft(p) {
  const texts = p.files.map((f, i) => {
    const text = h('textarea', { id: `draft-${i}`, rows: 12, class: 'code', spellcheck: 'false' });
    text.value = f.text;
    return { name: f.name, text };
  });
  const days = h('select', { id: 'draft-days' }, ...[1, 7, 31].map((n) => h('option', {}, `${n} days`)));
  days.selectedIndex = 1;
  const answer = h('div', { role: 'status' });
  const send = h('button', { type: 'submit', class: 'primary' }, 'What would it have changed?');
  return h('div', {}, h('h2', {}, 'What a draft would have changed'), h('details', {}, h('summary', {}, 'Write a draft'),
    h('form', { class: 'question neutral', onsubmit: async (/** @type {Event} */ e) => {
      e.preventDefault();
      send.disabled = true;
      setText(answer, 'Deciding on the calls again…');
      try {
        answer.replaceChildren(...told(await api.replayPolicy(texts.map((t) => ({ name: t.name, text: t.text.value })), [1, 7, 31][days.selectedIndex])));
      } catch (e) {
        answer.replaceChildren(h('p', { class: 'error' }, foreign(messageOf(e))));
      }
      send.disabled = false;
    } }, h('p', { class: 'muted' }, 'Nothing here comes into force: the files on the broker\'s machine do.'),
    ...texts.flatMap((t) => [h('label', { for: t.text.id }, foreign(t.name)), t.text]),
    h('div', { class: 'fields' }, h('div', {}, h('label', { for: 'draft-days' }, 'Of the last'), days)), h('div', { class: 'actions' }, send), answer)));
}

/** @param {import('../types.js').Hindsight} r */
function told(r) {
  if (!r.ok) return [h('p', { class: 'error' }, 'This is no set of policies.'), findingsView(r.findings)];
  const skipped = r.skipped.reduce((n, s) => n + s.calls, 0);
  return [h('p', {}, `Of ${r.calls.toLocaleString()} calls ${r.same.toLocaleString()} would have fared the same${skipped > 0 ? `; ${skipped} could not be decided again` : ''}.`),
    r.findings.length > 0 ? findingsView(r.findings) : '',
    ...r.changes.map((c) => h('div', { class: 'change' }, h('h3', {}, `${c.calls.toLocaleString()} ${c.from}, now ${c.to}`),
      h('p', {}, 'By ', ...c.policies.flatMap((t, i) => [i > 0 ? ', ' : '', h('code', { class: 'policy' }, foreign(t.name))]), c.policies.length === 0 ? 'no policy that permits them' : ''),
      h('ul', {}, ...c.examples.map((e) => h('li', {}, h('a', { href: `#/calls/${encodeURIComponent(e.call_id)}` }, foreign(e.tool)), ' for ', foreign(e.principal || 'nobody'), ' by ', foreign(e.agents.join(', ') || 'the person'))))))];
}
