// The service worker: it shows what the broker pushes, and opens the call when somebody
// touches it. It keeps nothing, answers no request of the page, and decides nothing.

/** @type {any} */
const worker = self;

worker.addEventListener('install', () => worker.skipWaiting());

worker.addEventListener('push', (/** @type {any} */ event) => {
  let said;
  try {
    said = event.data.json();
  } catch {
    return; // not the broker's
  }
  if (said?.v !== 1 || typeof said.tag !== 'string' || typeof said.title !== 'string') return;
  event.waitUntil(worker.registration.showNotification(said.title, {
    body: String(said.body ?? ''), tag: said.tag, renotify: said.renotify === true, silent: said.renotify !== true, icon: '/assets/icon.svg',
    requireInteraction: said.state === 'held', data: { url: String(said.url ?? '/'), deadline: said.deadline },
  }));
});

worker.addEventListener('notificationclick', (/** @type {any} */ event) => {
  event.notification.close();
  event.waitUntil(visit(event.notification.data?.url ?? '/'));
});

/**
 * Shows a page of the console, in a window that has it already if there is one.
 * @param {string} address
 */
async function visit(address) {
  const origin = worker.location.origin;
  const url = new URL(address, origin);
  const path = url.origin === origin && url.pathname === '/' && url.hash.startsWith('#/') ? url.hash : '#/';
  const windows = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const there = windows.find((/** @type {any} */ w) => new URL(w.url).pathname === '/');
  if (!there) return worker.clients.openWindow(`/${path}`);
  there.postMessage({ open: path });
  return there.focus();
}
