// The world of a replay: a clock that stands still between events, a robot that shows what was seen, and the controller
// between them, whose every command is held against the recorded one.

import { Controller } from '../control/index.js';
import type {
  Clock,
  CommandFate,
  CommandSink,
  ControlInput,
  Observation,
  Robot,
  RobotStatus,
  SinkState,
} from '../types/index.js';
import { readNumbers, type SessionHeader } from './events.js';
import { observationOf, type ReadEvent } from './read.js';
import { chunkOf, type ReplayedPolicy } from './replay-policy.js';

/** Events that drive the controller; the others are what it made of them. */
export const DRIVING = ['input', 'observation', 'tick', 'chunk', 'gap'] as const;

/** An event that drives, and what the recorded controller made of it. */
export interface Step {
  readonly head: ReadEvent<(typeof DRIVING)[number]>;
  readonly made: readonly ReadEvent[];
}

export interface ReplayReport {
  readonly seconds: number;
  readonly commands: number;
  readonly identical_commands: number;
  /** Largest difference of any joint, in its unit. */
  readonly command_error: number;
  /** Chunks that were computed again. */
  readonly chunks: number;
  readonly identical_chunks: number;
  readonly chunk_error: number;
  /** The first thing that came out otherwise, in seconds since the loop began. */
  readonly first?: { readonly at_s: number; readonly what: string };
  /** Why the replay ends before the session did. */
  readonly ended?: string;
}

class ReplayClock implements Clock {
  now = 0;
  private wake: (() => void) | undefined;

  now_ns(): number {
    return this.now;
  }
  sleepUntil(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
  /** The loop's next period begins. */
  tick(): void {
    this.wake?.();
  }
}

class ReplayRobot implements Robot {
  seen: Observation | undefined;
  tell: (status: RobotStatus) => void = () => undefined;

  constructor(
    readonly observation_dims: Readonly<Record<string, number>>,
    readonly action_dim: number,
  ) {}

  async connect(): Promise<void> {}
  latest(): Observation | undefined {
    return this.seen;
  }
  send(): boolean {
    return false;
  }
  onStatus(listener: (status: RobotStatus) => void): () => void {
    this.tell = listener;
    return () => undefined;
  }
  call(): Promise<never> {
    return Promise.reject(new Error('a recording answers no service'));
  }
  async close(): Promise<void> {}
}

/** Says of each command what became of it then. */
class ReplaySink implements CommandSink {
  readonly kind = 'dry';
  fate: CommandFate = 'none';
  now: SinkState = { live: false, moving: false, fault: '' };

  begin(): void {
    this.now = { live: true, moving: false, fault: '' };
  }
  follow(): void {}
  command(): CommandFate {
    return this.fate;
  }
  hold(): void {}
  stop(): void {
    this.suspend();
  }
  suspend(): void {
    this.now = { ...this.now, live: false, moving: false };
  }
  linkLost(): void {
    this.suspend();
  }
  state(): SinkState {
    return this.now;
  }
  close(): void {}
}

export class Replayer {
  private readonly clock = new ReplayClock();
  private readonly robot: ReplayRobot;
  private readonly sink = new ReplaySink();
  private readonly controller: Controller;
  private started_ns = 0;
  private commanded: { values: Float64Array; fate: CommandFate } | undefined;
  private changes: string[] = [];
  private first: ReplayReport['first'];
  private readonly counts = {
    commands: 0,
    identical_commands: 0,
    command_error: 0,
    chunks: 0,
    identical_chunks: 0,
    chunk_error: 0,
  };

  constructor(
    header: SessionHeader,
    private readonly policy: ReplayedPolicy,
  ) {
    this.robot = new ReplayRobot(header.observation_dims, header.action_dim);
    this.policy.reset(header.seed);
    this.controller = new Controller({
      ...header.controller,
      robot: this.robot,
      sink: this.sink,
      policy: this.policy,
      clock: this.clock,
      goal: () => this.policy.goal,
      tap: {
        input: () => undefined,
        tick: () => undefined,
        command: (values, _, fate) => {
          this.commanded = { values: values.slice(), fate };
        },
        asked: () => undefined,
        answered: () => undefined,
      },
    });
    this.controller.supervisor.onChange(({ from, to }) => this.changes.push(`${from} → ${to}`));
  }

  start(now_ns: number): void {
    this.started_ns = now_ns;
    this.clock.now = now_ns;
    this.controller.start();
  }

  async step({ head, made }: Step): Promise<void> {
    this.changes = [];
    if ('now_ns' in head.body) this.clock.now = head.body.now_ns;
    if (head.channel === 'observation') this.robot.seen = observationOf(head);
    else if (head.channel === 'input') this.input(head.body);
    else if (head.channel === 'tick') await this.tick(made);
    else if (head.channel === 'chunk') await this.chunk(head.body);
    await settled();
    const then = made.flatMap(({ channel, body }) =>
      channel === 'state' ? [`${body.from} → ${body.to}`] : [],
    );
    if (then.join() !== this.changes.join())
      this.differs(
        `states went ${this.changes.join(', ') || 'nowhere'}, not ${then.join(', ') || 'nowhere'}`,
      );
  }

  async finish(ended: string | undefined): Promise<ReplayReport> {
    const stopped = this.controller.stop();
    this.clock.tick();
    this.policy.close();
    await stopped;
    return {
      seconds: (this.clock.now - this.started_ns) / 1e9,
      ...this.counts,
      ...(this.first === undefined ? {} : { first: this.first }),
      ...(ended === undefined ? {} : { ended }),
    };
  }

  private async tick(made: readonly ReadEvent[]): Promise<void> {
    const command = made
      .filter((event) => event.channel === 'command')
      // One from outside of a tick, such as the zero at the end, has a time of its own.
      .find(({ body }) => body.stamp_ns === this.clock.now)?.body;
    this.policy.question = made.find((event) => event.channel === 'asked')?.body;
    this.sink.fate = command?.fate ?? 'none';
    this.commanded = undefined;
    this.clock.tick();
    await settled();
    if (this.policy.otherwise !== undefined) this.differs(this.policy.otherwise);
    const got = this.commanded as { values: Float64Array; fate: CommandFate } | undefined;
    if (command === undefined) {
      if (got !== undefined) this.differs('a command where there was none');
      return;
    }
    this.counts.commands++;
    const error =
      got === undefined ? Number.POSITIVE_INFINITY : largest(got.values, readNumbers(command.values));
    if (error === 0) this.counts.identical_commands++;
    else this.differs(got === undefined ? 'no command' : `a command that is ${error} off`);
    if (got !== undefined) this.counts.command_error = Math.max(this.counts.command_error, error);
  }

  private async chunk(body: ReadEvent<'chunk'>['body']): Promise<void> {
    const computed = await this.policy.release(body);
    const recorded = chunkOf(body);
    if (computed === undefined || recorded === undefined) return;
    this.counts.chunks++;
    const error = largest(computed.actions, recorded.actions);
    if (error === 0) this.counts.identical_chunks++;
    else this.differs(`a chunk that is ${error} off`);
    this.counts.chunk_error = Math.max(this.counts.chunk_error, error);
  }

  private input(body: ReadEvent<'input'>['body']): void {
    const { controller, robot, sink } = this;
    const given = body as unknown as ControlInput;
    if (given.kind === 'status') robot.tell(given);
    else if (given.kind === 'go') controller.go();
    else if (given.kind === 'resume') controller.resume();
    else if (given.kind === 'beat') controller.operatorBeat();
    else if (given.kind === 'suspend') controller.suspend();
    else if (given.kind === 'hold') controller.hold(given.cause);
    else if (given.kind === 'stop') controller.emergencyStop(given.cause);
    else if (given.kind === 'reset') controller.reset(given.seed);
    else if (given.kind === 'share') controller.shareWith(given.share);
    else if (given.kind === 'take_over')
      controller.takeOver(given.values ?? undefined, given.lifetime_ms ?? undefined);
    else if (given.kind === 'stop_state') controller.stopState(given.stopped);
    else if (given.kind === 'sink') sink.now = given;
  }

  private differs(what: string): void {
    this.first ??= { at_s: (this.clock.now - this.started_ns) / 1e9, what };
  }
}

/** Everything that promises have set in motion has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** 0 only for numbers that are the same bit for bit, as they are written. */
function largest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++)
    if (!Object.is(a[i], b[i])) most = Math.max(most, Math.abs(a[i]! - b[i]!) || Number.MIN_VALUE);
  return most;
}
