// Each command is sent to the robot as it is.

import type {
  Command,
  CommandCause,
  CommandFate,
  CommandSink,
  Robot,
  SinkKind,
  SinkState,
} from '../types/index.js';
import { Gate, type SinkTiming } from './gate.js';

/** The way out that sends each command to the robot at once. */
export class DirectSink implements CommandSink {
  readonly kind: SinkKind = 'direct';
  /** What becomes of a command that was sent. */
  protected readonly fate: CommandFate = 'sent';
  private readonly gate: Gate;

  constructor(
    private readonly robot: Pick<Robot, 'send'>,
    timing: SinkTiming,
  ) {
    this.gate = new Gate(timing);
  }

  begin(): void {
    this.gate.begin();
  }

  follow(): void {}

  command(command: Command, cause: CommandCause): CommandFate {
    if (!this.gate.lets(cause)) return 'none';
    if (!this.robot.send(command)) return 'refused';
    this.gate.passed();
    return this.fate;
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

const LIVE: SinkState = { live: true, moving: false, fault: '' };
const IDLE: SinkState = { live: false, moving: false, fault: '' };
