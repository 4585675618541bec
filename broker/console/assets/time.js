// Times in words.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

/** @param {string|undefined} time */
export function clockTime(time) {
  return time ? clock.format(new Date(time)) : '';
}

/** @param {string|undefined} time */
export function fullTime(time) {
  return time ? full.format(new Date(time)) : '';
}

/**
 * How long something is, in its two largest units.
 * @param {number} ms
 */
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const units = /** @type {[number, string][]} */ ([[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]);
  const at = units.findIndex(([size]) => s >= size);
  const [[big, name], [small, smaller]] = [units[at], units[at + 1]];
  const rest = Math.floor((s % big) / small);
  return rest ? `${Math.floor(s / big)} ${name} ${rest} ${smaller}` : `${Math.floor(s / big)} ${name}`;
}

/**
 * @param {string|undefined} time
 * @param {number} now
 */
export function ago(time, now) {
  if (!time) return '';
  const since = now - Date.parse(time);
  return since < 1000 ? 'just now' : `${span(since)} ago`;
}

/** @param {number|undefined} ms */
export function duration(ms) {
  if (ms === undefined) return '';
  if (ms < 0.1) return '< 0.1 ms';
  return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
