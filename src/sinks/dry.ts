// Nothing leaves: `tendon run --dry-run`. It goes through the same states as the sinks that send.

import type { Command, CommandCause, CommandFate, CommandSink, SinkState } from '../types/index.js';
import { IDLE, LIVE } from './direct.js';
import { Gate, type SinkTiming } from './gate.js';

export class DrySink implements CommandSink {
  readonly kind = 'dry';
  private readonly gate: Gate;

  constructor(timing: SinkTiming) {
    this.gate = new Gate(timing);
  }

  begin(): void {
    this.gate.begin();
  }

  follow(): void {}

  command(_: Command, cause: CommandCause): CommandFate {
    if (!this.gate.lets(cause)) return 'none';
    this.gate.passed();
    return 'dry';
  }

  hold(): void {}

  stop(): void {
    this.gate.shut();
  }

  suspend(): void {
    this.gate.shut();
  }

  linkLost(): void {
    this.gate.shut();
  }

  state(): SinkState {
    return this.gate.live ? LIVE : IDLE;
  }

  close(): void {
    this.gate.shut();
  }
}
