// The stream of records: one WebSocket at a time, opened again after the last record
// that was received, for as long as the page lives.

/** Close codes of the stream. */
export const CLOSE = { tooSlow: 4000, expired: 4001, badCursor: 4002, goingAway: 1001 };

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * What the feed needs of the world, so that tests can stand in for it.
 * @typedef {object} World
 * @property {(cursor: string) => WebSocket} open
 * @property {(work: () => void, ms: number) => any} later
 * @property {(timer: any) => void} cancel
 * @property {() => number} now
 * @property {() => number} random from 0 to 1
 *
 * @typedef {object} Listener
 * @property {(records: import('./types.js').StreamRecord[]) => void} records
 * @property {(link: import('./types.js').Link) => void} link
 * @property {(viewer: import('./types.js').Viewer) => void} viewer
 * @property {(status: import('./types.js').Replica|undefined) => void} replica how the replica is that the stream is of
 * @property {() => void} lost the connection ended in a way that may be for want of a login
 * @property {() => void} reset the cursor was not one of this log: begin anew
 */

export class Feed {
  /**
   * @param {World} world
   * @param {Listener} listener
   */
  constructor(world, listener) {
    this.world = world;
    this.listener = listener;
    this.cursor = '';
    this.failures = 0;
    /** @type {WebSocket|null} */
    this.socket = null;
    /** @type {any} */
    this.timer = null;
    /** @type {import('./types.js').StreamRecord[]} */
    this.pending = [];
    /** @type {any} */
    this.flushing = null;
    this.status = 'connecting';
  }

  /** Connects now, whatever was planned. */
  connect() {
    this.#drop();
    this.#say('connecting');
    const socket = this.world.open(this.cursor);
    this.socket = socket;
    socket.onmessage = (m) => {
      if (socket === this.socket) this.#receive(JSON.parse(m.data));
    };
    socket.onclose = (e) => {
      if (socket === this.socket) this.#closed(e.code);
    };
  }

  /** Ends for good, or until connect. */
  stop() {
    this.#flush();
    this.#drop();
    this.#say('ended');
  }

  #drop() {
    this.world.cancel(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  /** @param {any} frame */
  #receive(frame) {
    if (typeof frame.cursor === 'string') this.cursor = frame.cursor;
    switch (frame.type) {
      case 'hello':
        this.listener.viewer(frame.viewer);
        this.listener.replica(frame.status);
        this.#say(frame.live ? 'live' : 'catching up');
        break;
      case 'caught_up':
        this.failures = 0;
        this.#flush();
        this.#say('live');
        break;
      case 'status':
        this.listener.replica(frame.status);
        break;
      case 'record':
        this.#keep(frame);
        break;
      case 'records':
        for (const record of frame.records) this.#keep(record);
        break;
    }
  }

  /**
   * Records that come close together are passed on together.
   * @param {import('./types.js').StreamRecord} record
   */
  #keep(record) {
    const BATCH = 500;
    this.pending.push(record);
    if (this.pending.length >= BATCH) this.#flush();
    else this.flushing ??= this.world.later(() => this.#flush(), 40);
  }

  #flush() {
    this.world.cancel(this.flushing);
    this.flushing = null;
    const records = this.pending;
    this.pending = [];
    if (records.length > 0) this.listener.records(records);
  }

  /** @param {number} code */
  #closed(code) {
    this.#flush();
    this.socket = null;
    if (code === CLOSE.badCursor) {
      this.cursor = '';
      this.listener.reset();
    }
    if (code === CLOSE.expired) {
      this.#say('ended');
      this.listener.lost();
      return;
    }
    const wait = this.#wait(code);
    this.#say('waiting', this.world.now() + wait);
    this.timer = this.world.later(() => this.connect(), wait);
    if (code !== CLOSE.tooSlow && code !== CLOSE.goingAway) this.listener.lost();
  }

  /**
   * Longer after each failure, and different for each viewer, so that a broker that
   * comes back is not met by all of them at once.
   * @param {number} code
   */
  #wait(code) {
    if (code === CLOSE.tooSlow && this.failures === 0) {
      this.failures++;
      return 0;
    }
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures++);
    return Math.round(longest * (0.5 + this.world.random() / 2));
  }

  /**
   * @param {import('./types.js').Link['status']} status
   * @param {number} [retryAt]
   */
  #say(status, retryAt) {
    this.status = status;
    this.listener.link({ status, since: this.world.now(), retryAt });
  }
}
