// What a connection counts.

export interface ConnectionCounters {
  opened: number;
  dropped_offline: number;
  dropped_backlog: number;
  /** Commands that were too old when their turn to be written came. */
  dropped_expired: number;
  malformed: number;
  /** Connections ended because the server said nothing, or read nothing, for too long. */
  silent: number;
  unread: number;
  /** Of a socket on a thread of its own: threads that ended and were replaced. */
  threads_lost: number;
  /** Of a socket on a thread of its own: messages that a newer one of their topic took the place of. */
  overtaken: number;
}
