// What keys mean. Deciding takes two: one to begin, another to go through with it.

/** @typedef {'next'|'previous'|'open'|'approve'|'confirm'|'deny'|'edit'|'grant'|'forecast'|'cancel'|'search'|'help'} Command */

/** @type {Record<string, Command>} */
const COMMANDS = { j: 'next', k: 'previous', a: 'approve', y: 'confirm', d: 'deny', e: 'edit', g: 'grant', w: 'forecast', '/': 'search', '?': 'help', Escape: 'cancel', Enter: 'open' };

/** For the page that explains them. */
export const EXPLAINED = /** @type {[string, string][]} */ ([
  ['j, k', 'next and previous call'],
  ['Enter', 'everything about the call'],
  ['a, then y', 'approve; nothing is approved before y'],
  ['d', 'deny, with a reason for the agent'],
  ['e', 'change the arguments, and approve that'],
  ['g', 'approve calls like it in advance'],
  ['w', 'what would it change? (where a tool can tell)'],
  ['Ctrl Enter', 'send the reason'],
  ['Esc', 'step back'],
  ['/', 'search: what happens live, or in the history'],
  ['?', 'this list'],
]);

/**
 * The command of a key press; none where keys have a meaning of their own.
 * @param {{key: string, ctrlKey: boolean, metaKey: boolean, altKey: boolean, repeat: boolean, isComposing?: boolean}} event
 * @param {{tag: string, dialog: boolean}} where the focused element, and whether a dialog is open
 * @returns {Command|undefined}
 */
export function commandOf(event, where) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || where.dialog) return undefined;
  const command = Object.hasOwn(COMMANDS, event.key) ? COMMANDS[event.key] : undefined;
  if (['INPUT', 'TEXTAREA', 'SELECT'].includes(where.tag)) return command === 'cancel' ? command : undefined;
  if (command === 'open' && where.tag !== 'ARTICLE') return undefined; // buttons and links do their own
  if (event.repeat && command !== 'next' && command !== 'previous') return undefined;
  return command;
}
