// What the robot is to do, in words: from the robot file, a topic, the page or a program; whoever spoke last is followed. The
// policy is told with every observation, so what changes is in force with the next chunk.

import { Emitter } from '../base/index.js';
import { TendonError } from '../types/index.js';

/** Longer texts are no task: VLAs read 48 to 200 tokens of them. */
const MOST = 2000;

export class Words {
  private readonly heard = new Emitter<{ readonly text: string; readonly who: string }>('words');

  constructor(private text: string | undefined) {}

  get current(): string | undefined {
    return this.text;
  }

  /** Throws `input_invalid` for an empty text and for one that is too long. */
  say(text: string, who: string): void {
    if (typeof text !== 'string' || text.trim() === '' || text.length > MOST)
      throw new TendonError(
        'input_invalid',
        `the task: expected 1 to ${MOST} characters from ${who}, got ${typeof text === 'string' ? text.length : typeof text}`,
      );
    if (text === this.text) return;
    this.text = text;
    this.heard.emit({ text, who });
  }

  /** Called when the text changes; returns the way to stop. */
  onChange(listener: (heard: { readonly text: string; readonly who: string }) => void): () => void {
    return this.heard.on(listener);
  }
}
