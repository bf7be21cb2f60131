// Which parts of a recording are worth learning from: the times in which somebody drove, cut where the driver or the
// episode changed. The first of two passes, so that frames need not be kept.

import type { ControlState } from '../../types/index.js';
import type { ReadEvent, Recording } from '../read.js';

export const SELECTIONS = ['all', 'successes', 'interventions'] as const;
export type Selection = (typeof SELECTIONS)[number];

export interface Span {
  readonly from_ns: number;
  /** The last tick of it. */
  readonly to_ns: number;
  /** A person drove all of it. */
  readonly operator: boolean;
  /** Undefined where nobody said: on a real robot, or when it was cut short. */
  readonly success: boolean | undefined;
  /** Values by feature of the newest observation at its end. */
  readonly reached: Readonly<Record<string, readonly (number | string)[]>>;
}

/**
 * Spans of `recording`, which is read to its end. `interventions` are the spans that a person drove, `successes` whole
 * episodes that ended in one, `all` whatever was driven from start to hold. What was computed but never sent is none.
 */
export async function spansOf(recording: Recording, selection: Selection): Promise<Span[]> {
  const finder = new Finder(selection === 'interventions');
  for await (const event of recording.events()) finder.take(event);
  finder.end();
  return finder.spans.filter(
    ({ operator, success }) =>
      selection === 'all' || (selection === 'successes' ? success === true : operator),
  );
}

/** Inputs that end whatever was being done. */
const ENDING = new Set(['reset', 'suspend', 'stop']);

class Finder {
  readonly spans: Span[] = [];
  private open: { from_ns: number; to_ns: number; operator: boolean } | undefined;
  private state: ControlState = 'INIT';
  private tick_ns = 0;
  private executed = false;
  private newest: Span['reached'] = {};
  /** What is driven between an episode's end and the reset after it belongs to none. */
  private over = false;

  constructor(private readonly cut_at_hand_over: boolean) {}

  take(event: ReadEvent): void {
    const { channel, body } = event;
    if (channel === 'tick') this.tick_ns = body.now_ns;
    else if (channel === 'observation') this.newest = body.values;
    else if (channel === 'executed') this.executed = true;
    else if (channel === 'command') {
      if (body.fate === 'sent' || (body.fate === 'dry' && this.executed)) this.driven();
    } else if (channel === 'state') this.changed(body.to);
    else if (channel === 'gap') this.end();
    else if (channel === 'episode') {
      this.end(body.success);
      this.over = true;
    } else if (channel === 'input' && ENDING.has(body.kind)) {
      this.end();
      this.over = false;
    }
  }

  end(success?: boolean): void {
    if (this.open !== undefined) this.spans.push({ ...this.open, success, reached: this.newest });
    this.open = undefined;
  }

  private changed(to: ControlState): void {
    const drives = to === 'RUNNING' || to === 'TELEOP';
    if (!drives || (this.cut_at_hand_over && to !== this.state)) this.end();
    this.state = to;
  }

  private driven(): void {
    const operator = this.state === 'TELEOP';
    if (this.over || (this.state !== 'RUNNING' && !operator)) return;
    this.open ??= { from_ns: this.tick_ns, to_ns: this.tick_ns, operator };
    this.open.to_ns = this.tick_ns;
    this.open.operator &&= operator;
  }
}
