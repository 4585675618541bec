// Elements, and lists of them. Text is only ever set as text: there is no way in here
// for a string to become markup, an attribute that runs, or a link that leaves.

import { segments } from './visible.js';

const ATTRIBUTES = /^(id|class|type|name|for|role|tabindex|title|rows|maxlength|required|hidden|lang|open|datetime|placeholder|autocomplete|spellcheck|method|scope|aria-[a-z]+|data-[a-z]+)$/;
const OWN_LINK = /^(#\/|\/login(\?|$))/;

/**
 * @typedef {string|number|boolean|null|undefined} Value
 * @typedef {Node|string|null|undefined|false} Child
 */

/**
 * Makes an element. Members that begin with "on" are listeners.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, Value|((e: any) => void)>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else setAttribute(element, name, value);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined && c !== false).map((c) => /** @type {Node|string} */ (c)));
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {Value} value false, null and undefined take it away
 */
export function setAttribute(element, name, value) {
  const allowed = name === 'href' ? OWN_LINK.test(String(value)) : ATTRIBUTES.test(name);
  if (!allowed) throw new Error(`attribute ${name} is not for this page`);
  const text = value === true ? '' : String(value);
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * Sets an element's text, if it differs.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Shows or hides an element.
 * @param {HTMLElement} element
 * @param {boolean} shown
 */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * Puts the cursor into a field, with all that is in it selected.
 * @param {HTMLInputElement|undefined} field
 */
export function focus(field) {
  field?.focus();
  field?.select();
  return true;
}

/**
 * A stranger's text: kept apart from what surrounds it, and with what cannot be seen made visible.
 * @param {string} text
 * @param {{multiline?: boolean, class?: string}} [options]
 */
export function foreign(text, options = {}) {
  const element = h('bdi', { class: options.class ?? 'foreign' });
  setForeign(element, text, options);
  return element;
}

/** @type {WeakMap<Element, string>} */
const shownTexts = new WeakMap();

/**
 * Replaces what {@link foreign} shows, if it differs.
 * @param {Element} element
 * @param {string} text
 * @param {{multiline?: boolean}} [options]
 */
export function setForeign(element, text, options) {
  if (shownTexts.get(element) === text) return;
  shownTexts.set(element, text);
  element.replaceChildren(...pieces(text, options));
}

/**
 * @param {string} text
 * @param {{multiline?: boolean}} [options]
 */
export function pieces(text, options) {
  return segments(text, options).map((s) => {
    if (s.kind === 'plain') return document.createTextNode(s.text);
    if (s.kind === 'alike') return h('span', { class: 'mark alike', title: 'looks like another letter' }, s.text, h('small', {}, s.label));
    return h('span', { class: 'mark', title: 'a character that cannot be seen' }, s.label);
  });
}

/** @type {WeakMap<Element, Map<string, {node: HTMLElement, item: any}>>} */
const lists = new WeakMap();

/**
 * Makes the children of an element those of a list, each by its key. The element that
 * has the focus is never taken out of the page: the others move around it.
 * @template Item
 * @param {Element} parent
 * @param {Item[]} items
 * @param {{key: (item: Item) => string, create: (item: Item) => HTMLElement, update: (node: HTMLElement, item: Item) => void}} how
 */
export function keyed(parent, items, how) {
  const before = lists.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = how.key(item);
    const known = before.get(key);
    const node = known?.node ?? how.create(item);
    if (known?.item !== item) how.update(node, item);
    after.set(key, { node, item });
  }
  for (const [key, { node }] of before) {
    if (!after.has(key)) node.remove();
  }
  lists.set(parent, after);
  place(parent, [...after.values()].map((e) => e.node));
}

/**
 * @param {Element} parent
 * @param {HTMLElement[]} nodes
 */
function place(parent, nodes) {
  const pivot = nodes.findIndex((n) => n.parentNode === parent && n.contains(document.activeElement));
  for (let i = pivot - 1; i >= 0; i--) {
    if (nodes[i].nextSibling !== nodes[i + 1] || nodes[i].parentNode !== parent) parent.insertBefore(nodes[i], nodes[i + 1]);
  }
  for (let i = pivot + 1; i < nodes.length; i++) {
    const next = i > 0 ? nodes[i - 1].nextSibling : parent.firstChild;
    if (next !== nodes[i]) parent.insertBefore(nodes[i], next);
  }
}
