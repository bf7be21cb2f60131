// What is said about messages, for people: what the server complains of, and what of its frames could not be read.

import { Emitter } from '../../base/index.js';
import type { Nanoseconds } from '../../types/index.js';

/** Characters of a server's remark. */
const MOST_CHARACTERS = 500;
const TELL_AGAIN_NS = 10e9;

export class Remarks {
  last_malformed = '';
  /** The newest error or warning that the server sent as a status; only ros2-web-bridge and ours send any. */
  last_complaint = '';
  private malformed_ns: Nanoseconds = 0;
  private readonly remarks = new Emitter<string>('complaints');

  constructor(private readonly url: string) {}

  on(listener: (remark: string) => void): () => void {
    return this.remarks.on(listener);
  }

  /** Frames that cannot be read may come by the thousand: each kind of fault is told once in a while. */
  malformed(cause: string, now_ns: Nanoseconds): void {
    const told = cause === this.last_malformed && now_ns - this.malformed_ns < TELL_AGAIN_NS;
    this.last_malformed = cause;
    if (told) return;
    this.malformed_ns = now_ns;
    this.remarks.emit(`a message of ${this.url} was refused: ${cause}`);
  }

  /** A warning or an error of the server. */
  said(text: string): void {
    this.last_complaint = `${this.url} says: ${text.slice(0, MOST_CHARACTERS)}`;
    this.remarks.emit(this.last_complaint);
  }
}
