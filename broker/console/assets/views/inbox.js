// The calls that wait for people, the earliest deadline first. Of a thousand only those are
// on the page that somebody has come to.

import { h, keyed, setText, show } from '../render.js';
import { arrange, byUrgency, waits } from '../store.js';
import { Card } from './card.js';

/** How long a card stays after it was decided, in ms. */
const LINGER = 8000;
/** How many cards are on the page at first, and how many more when its end comes into view. */
const WINDOW = 20;

/**
 * @param {import('./card.js').Deciding & {forget: (ids: string[]) => void}} page
 * @param {HTMLElement} notices the switch for them
 */
export function inboxView(page, notices) {
  /** @type {Map<string, Card>} */
  const cards = new Map();
  /** @type {Map<string, number>} when a card was first seen to be decided */
  const decided = new Map();
  /** @type {string[]} */
  let order = [];
  let pointed = false;
  let touched = 0;
  let limit = WINDOW;
  const list = h('div', {
    class: 'cards',
    onpointerenter: (/** @type {PointerEvent} */ e) => { pointed = e.pointerType !== 'touch'; },
    onpointerleave: () => { pointed = false; },
    onpointerdown: () => { touched = performance.now(); },
  });
  const empty = h('div', { class: 'empty' }, h('p', {}, 'Nothing waits for you.'),
    h('p', { class: 'muted' }, 'Calls that a policy holds appear here as they are made. ', h('a', { href: '#/live' }, 'See what agents do now'), ', or ', h('a', { href: '#/history' }, 'what they did'), '.'));
  const more = h('button', { type: 'button', class: 'more-cards', onclick: () => extend(true) });
  const element = h('section', { 'aria-labelledby': 'inbox-title' }, h('div', { class: 'heading' }, h('h1', { id: 'inbox-title' }, 'Waiting for people'), notices), list, more, empty);
  new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && extend(false), { rootMargin: '600px' }).observe(more);
  /** @type {import('../store.js').State|undefined} */
  let last;

  return { element, update, tick, command, title: 'Waiting' };

  /** @param {import('../store.js').State} state */
  function update(state) {
    last = state;
    order = arrange(order, byUrgency(state), steady());
    const items = order.slice(0, limit).map((id) => /** @type {import('../types.js').HeldCall} */ (state.held.get(id)));
    keyed(list, items, {
      key: (call) => call.call_id,
      create(call) {
        const card = new Card(call, page);
        cards.set(call.call_id, card);
        return card.element;
      },
      update: (_, call) => cards.get(call.call_id)?.update(call),
    });
    const there = new Set(items.map((c) => c.call_id));
    for (const id of cards.keys()) {
      if (!there.has(id)) cards.delete(id);
    }
    const rest = order.length - items.length;
    show(more, rest > 0);
    setText(more, `Show ${Math.min(rest, WINDOW)} more of ${rest}`);
    show(empty, items.length === 0 && state.inbox.at > 0);
    setText(/** @type {Element} */ (empty.firstChild), state.inbox.error || 'Nothing waits for you.');
  }

  /** @param {boolean} go whether the first of what is new gets the focus */
  function extend(go) {
    const from = limit;
    limit += WINDOW;
    if (last) update(last);
    if (go) cards.get(order[from])?.element.focus();
  }

  /** Nothing moves while somebody points at the list, touched it just now, or answers a question in it. */
  function steady() {
    const asking = [...cards.values()].some((c) => c.steps.asking !== '');
    return pointed || asking || performance.now() - touched < 2000;
  }

  function tick() {
    if (!last) return;
    const gone = [];
    const at = performance.now();
    for (const [id, card] of cards) {
      card.tick();
      if (waits(card.call)) continue;
      if (!decided.has(id)) decided.set(id, at);
      if (!steady() && at - /** @type {number} */ (decided.get(id)) > LINGER) gone.push(id);
    }
    if (gone.length > 0) remove(gone);
    else if (!steady()) update(last);
  }

  /** @param {string[]} ids */
  function remove(ids) {
    const focused = selected();
    for (const id of ids) decided.delete(id);
    const next = focused >= 0 && ids.includes(order[focused]) ? order.slice(focused).find((id) => !ids.includes(id)) : undefined;
    page.forget(ids);
    if (next) cards.get(next)?.element.focus();
  }

  function selected() {
    return order.findIndex((id) => cards.get(id)?.element.contains(document.activeElement));
  }

  /**
   * @param {import('../keys.js').Command} command
   * @returns {boolean} whether it meant something here
   */
  function command(command) {
    const at = selected();
    if (command === 'next' || command === 'previous') {
      const to = at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + (command === 'next' ? 1 : -1)));
      if (to >= limit) extend(false);
      const card = cards.get(order[to]);
      card?.element.focus({ preventScroll: true });
      card?.element.scrollIntoView({ block: 'nearest' });
      return Boolean(card);
    }
    return cardCommand(cards.get(order[at]), command);
  }
}

/**
 * @param {Card|undefined} card
 * @param {import('../keys.js').Command} command
 */
export function cardCommand(card, command) {
  switch (card && command) {
    case 'approve':
    case 'deny':
    case 'edit':
    case 'grant':
      card?.steps.ask(/** @type {import('./steps.js').Question} */ (command));
      return true;
    case 'forecast':
      void card?.forecast.run();
      return true;
    case 'confirm':
      card?.steps.confirm();
      return true;
    case 'cancel':
      if (!card?.steps.asking) return false;
      card.steps.cancel();
      return true;
    case 'open':
      location.hash = `#/calls/${encodeURIComponent(card?.call.call_id ?? '')}`;
      return true;
    default:
      return false;
  }
}
