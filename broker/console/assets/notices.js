// Notifications: by the broker's push where it has that, by the page itself while it is
// open but not seen. They tell that a call waits; deciding is done here, by who is logged in.

import { ApiError, api } from './api.js';
import { h, setAttribute, setText, show } from './render.js';
import { visibleText } from './visible.js';

const WORKER = '/assets/worker.js';
const WANTED = 'deed.notices';

export class Notices {
  constructor() {
    this.button = h('button', { type: 'button', class: 'notices', 'aria-pressed': 'false', onclick: () => void this.#toggle() }, 'Tell me when a call waits');
    this.told = h('p', { class: 'muted', role: 'status' });
    this.element = h('div', { class: 'notify' }, this.told, this.button);
    this.possible = 'Notification' in window && 'serviceWorker' in navigator && window.isSecureContext;
    /** @type {ServiceWorkerRegistration|undefined} */
    this.registration = undefined;
    this.pushed = false;
    /** @type {Set<string>} calls that were told of, or were there before */
    this.known = new Set();
    this.first = true;
    show(this.element, this.possible);
    if (this.possible) navigator.serviceWorker.addEventListener('message', (e) => follow(e.data));
  }

  /** Goes on with what a person wanted before: a subscription lives as long as it is renewed. */
  resume() {
    if (this.possible && Notification.permission === 'granted' && localStorage.getItem(WANTED) === 'on') void this.#start();
  }

  async #toggle() {
    this.button.disabled = true;
    try {
      if (this.registration) await this.#stop();
      else if (await Notification.requestPermission() === 'granted') await this.#start();
      else setText(this.told, 'The browser does not let this page notify you: its settings can.');
    } finally {
      this.button.disabled = false;
    }
  }

  async #start() {
    try {
      this.registration = await navigator.serviceWorker.register(ownWorker(), { scope: '/' });
      await navigator.serviceWorker.ready;
      this.pushed = await this.#subscribe(this.registration);
      localStorage.setItem(WANTED, 'on');
      setText(this.told, this.pushed ? '' : 'While this page is open somewhere.');
    } catch (e) {
      this.registration = undefined;
      setText(this.told, e instanceof ApiError ? e.message : 'The browser cannot notify you.');
    }
    this.#show();
  }

  async #stop() {
    localStorage.removeItem(WANTED);
    const subscription = await this.registration?.pushManager.getSubscription();
    this.registration = undefined;
    if (subscription) {
      await subscription.unsubscribe();
      await api.unsubscribe(subscription.endpoint).catch(() => undefined); // it is dropped anyway once its push service has forgotten it
    }
    setText(this.told, '');
    this.#show();
  }

  #show() {
    setAttribute(this.button, 'aria-pressed', String(Boolean(this.registration)));
    setText(this.button, this.registration ? 'You are told when a call waits' : 'Tell me when a call waits');
  }

  /**
   * Has the broker push to this browser; false where either of them has no push.
   * @param {ServiceWorkerRegistration} registration
   */
  async #subscribe(registration) {
    let key;
    try {
      key = (await api.push()).public_key;
    } catch (e) {
      if (e instanceof ApiError && (e.status === 404 || e.status === 503)) return false;
      throw e;
    }
    try {
      const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
      await api.subscribe(subscription.toJSON());
      return true;
    } catch (e) {
      if (e instanceof DOMException) return false; // the browser has no push service
      throw e;
    }
  }

  /**
   * Tells of calls that this person may decide, if nobody sees the page and nobody else tells.
   * @param {import('./types.js').HeldCall[]} calls
   */
  tell(calls) {
    for (const call of calls) {
      const known = this.known.has(call.call_id);
      this.known.add(call.call_id);
      if (known || this.first || !this.registration || this.pushed || document.visibilityState === 'visible') continue;
      void this.registration.showNotification(`Approval needed: ${visibleText(call.tool)}`, {
        tag: call.call_id, requireInteraction: true, icon: '/assets/icon.svg', body: visibleText(`For ${[call.principal, ...[...call.chain].reverse()].filter(Boolean).join(' through ')}`),
        data: { url: `/#/calls/${encodeURIComponent(call.call_id)}` },
      });
    }
    const there = new Set(calls.map((c) => c.call_id));
    for (const id of this.known) if (!there.has(id)) this.known.delete(id);
    this.first = false;
  }
}

/**
 * The one script that may become a worker; the policy of the page takes no other.
 * @returns {any}
 */
function ownWorker() {
  const types = /** @type {any} */ (window).trustedTypes;
  if (!types) return WORKER;
  made ??= types.createPolicy('deed-worker', {
    createScriptURL(/** @type {string} */ url) {
      if (url !== WORKER) throw new TypeError('not the worker of this page');
      return url;
    },
  });
  return made.createScriptURL(WORKER);
}

/** @type {any} */
let made;

/** @param {any} message of the worker */
function follow(message) {
  if (typeof message?.open === 'string' && message.open.startsWith('#/')) location.hash = message.open;
}
