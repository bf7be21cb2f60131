// Whatever happens to a controller in whatever order: random sequences of what people, robots, policies and clocks do, and
// of what may leave while they do it. Virtual time; TENDON_SEQUENCES asks for more of them than a test run has time for.

import { expect, test } from 'vitest';
import { Controller, ManualClock } from '../../src/control/index.js';
import { Random } from '../../src/sim/random.js';
import type { ActionChunk, Command, Observation, Policy, Robot, RobotStatus } from '../../src/types/index.js';

const SEQUENCES = Number(process.env.TENDON_SEQUENCES ?? 2000);
const EVENTS = 12;
/** One controller lives through as many sequences, so that each begins in a state that the last one left. */
const LIVES = 100;
const PERIOD_NS = 10e6;
const DT = 0.01;
const FRESH_NS = 50e6;
const LIMITS = { lower: [-1, -2], upper: [1, 2], velocity: [0.8, 1.5], acceleration: [8, 15] };
/** How far a robot that lags may be from its command before commands begin anew where it is: limiter.ts, LAG_S. */
const LAG_S = 0.1;
/** Differences of positions near 2, divided by a period. */
const ROUNDING = 1e-9;

type Broken = { readonly what: string; readonly sequence: number; readonly state: string };

/** Follows what it is told, and looks at everything that it is told. */
class Witness implements Robot {
  readonly observation_dims = { joint_position: 2 };
  readonly action_dim = 2;
  readonly clock = new ManualClock(1e9);
  readonly broken: Broken[] = [];
  position = [0, 0];
  connected = true;
  frozen = false;
  refuses = false;
  odd: 'nan' | 'short' | 'future' | undefined;
  sent = 0;
  sequence = 0;
  /** A person held: nothing but a person ends that. */
  held = false;
  controller: Controller | undefined;
  /** Where the controller last saw the robot: within the freshness limit it cannot know better. */
  private known = [0, 0];
  private last: number[] | undefined;
  private seen: Observation | undefined;
  private status: ((status: RobotStatus) => void) | undefined;

  async connect(): Promise<void> {}
  call = () => Promise.reject(new Error('none'));
  async close(): Promise<void> {}
  onStatus(listener: (status: RobotStatus) => void) {
    this.status = listener;
    this.link(true);
    return () => undefined;
  }

  link(connected: boolean): void {
    this.connected = connected;
    this.status?.({ connected, cause: connected ? '' : 'cut' });
  }

  latest() {
    const now_ns = this.clock.now_ns();
    if (this.frozen && this.seen !== undefined) return this.seen;
    if (this.seen?.stamp_ns === now_ns && this.odd === undefined) return this.seen;
    const stamp_ns = this.odd === 'future' ? now_ns + 1e9 : now_ns;
    const values = this.odd === 'short' ? [0] : this.odd === 'nan' ? [0, Number.NaN] : this.position;
    if (this.odd === undefined) this.known = [...this.position];
    this.seen = { stamp_ns, values: { joint_position: Float32Array.from(values) } };
    return this.seen;
  }

  /** Everything that must hold of a command that leaves. */
  send({ values, expires_ns }: Command): boolean {
    const now_ns = this.clock.now_ns();
    const { state } = this.controller!;
    const say = (what: string) => this.broken.push({ what, sequence: this.sequence, state });
    this.sent++;
    if (state === 'STOPPED' || state === 'INIT' || state === 'READY')
      say('sent in a state that sends nothing');
    if (!this.connected) say('sent to a robot that is gone');
    if (!(expires_ns > now_ns)) say('sent with no life left');
    if (this.held && state !== 'HOLD' && state !== 'TELEOP') say('went on from a hold by itself');
    for (let i = 0; i < 2; i++) {
      const value = values[i]!;
      if (!(value >= LIMITS.lower[i]! && value <= LIMITS.upper[i]!)) say(`left the range: ${value}`);
      const step = LIMITS.velocity[i]! * DT + ROUNDING;
      const from_last = Math.abs(value - (this.last?.[i] ?? this.position[i]!));
      const from_robot = Math.abs(value - this.known[i]!);
      if (from_last > step && from_robot > step + LAG_S * LIMITS.velocity[i]!) say(`jumped by ${from_last}`);
    }
    this.last = [...values];
    if (this.refuses) return false;
    this.position = [...values];
    return true;
  }
}

/** Says anything, at any time, or nothing. */
function unreliable(random: Random): Policy {
  return {
    spec: {
      family: 'unreliable',
      n_obs_steps: 1,
      horizon: 8,
      n_action_steps: 4,
      action_dim: 2,
      observation_dims: { joint_position: 2 },
      image_shapes: {},
      goal_dims: {},
      rate_hz: 50,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window, options = {}): Promise<ActionChunk> {
      const kind = random.next();
      if (kind < 0.05) throw new Error('failed');
      if (kind < 0.1)
        await new Promise((_, reject) =>
          options.signal?.addEventListener('abort', () => reject(new Error('late'))),
        );
      const horizon = kind < 0.12 ? 0 : kind < 0.15 ? 3 : 8;
      const wild = kind < 0.2 ? Number.NaN : kind < 0.4 ? 1e6 : 1;
      const { stamp_ns } = (window as readonly Observation[]).at(-1)!;
      return {
        stamp_ns: kind > 0.97 ? Number.NaN : kind > 0.9 ? stamp_ns - 1e9 : stamp_ns,
        period_ns: 20e6,
        horizon,
        action_dim: 2,
        actions: Float32Array.from({ length: 16 }, () => wild * random.uniform(-3, 3)),
        n_candidates: 1,
        chosen: 0,
        timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
      };
    },
  };
}

/** One thing that happens. */
function happens(random: Random, robot: Witness, controller: Controller): void {
  const person = (): void => {
    robot.held = false;
  };
  const { state } = controller;
  const events: (() => void)[] = [
    () => controller.go(),
    () => controller.go(),
    () => {
      controller.hold();
      robot.held = controller.state === 'HOLD';
    },
    () => {
      person();
      controller.resume();
    },
    () => {
      person();
      controller.resume();
    },
    () => controller.emergencyStop(),
    () => {
      person();
      controller.reset(1);
    },
    () => controller.operatorBeat(),
    () => controller.suspend(),
    () => {
      if (controller.takeOver([random.uniform(-3, 3), random.uniform(-3, 3)])) person();
    },
    () => {
      if (state !== 'TELEOP') return;
      controller.takeOver(undefined);
    },
    () => void controller.takeOver([Number.NaN, 1]),
    () => controller.shareWith({ kind: 'blend', share: random.next() }),
    () => controller.shareWith({ kind: 'take_over' }),
    () => robot.link(false),
    () => robot.link(true),
    () => {
      robot.frozen = !robot.frozen;
    },
    () => {
      robot.odd = ([undefined, 'nan', 'short', 'future'] as const)[Math.floor(random.next() * 4)];
    },
    () => {
      robot.refuses = !robot.refuses;
    },
    () => robot.clock.jump(random.uniform(-1, 1) * 3e8),
    () => {
      if (state === 'INIT' || state === 'READY' || state === 'STOPPED')
        robot.position = [random.uniform(-1, 1), 0];
    },
  ];
  events[Math.floor(random.next() * events.length)]!();
}

test(
  `${SEQUENCES} random sequences of events: nothing leaves that should not`,
  async () => {
    const broken: Broken[] = [];
    const visited = new Set<string>();
    let sent = 0;
    for (let sequence = 0; sequence < SEQUENCES; ) {
      const random = new Random(sequence + 1);
      const robot = new Witness();
      const controller = new Controller({
        robot,
        policy: unreliable(random),
        clock: robot.clock,
        limits: LIMITS,
        rate_hz: 100,
        position_key: 'joint_position',
        freshness_ms: FRESH_NS / 1e6,
        inference_ms: 60,
        lifetime_ms: 50,
      });
      robot.controller = controller;
      controller.start();
      for (let life = 0; life < LIVES && sequence < SEQUENCES; life++, sequence++) {
        robot.sequence = sequence;
        for (let event = 0; event < EVENTS; event++) {
          happens(random, robot, controller);
          visited.add(controller.state);
          await robot.clock.advance(PERIOD_NS * Math.floor(random.uniform(0, 3)));
        }
        // Half of the time everything is well again, and the robot gets under way before the next.
        if (random.next() < 0.5) continue;
        Object.assign(robot, { frozen: false, odd: undefined, refuses: false, held: false });
        robot.link(true);
        controller.reset(sequence);
        controller.resume();
        await robot.clock.advance(2 * PERIOD_NS);
        controller.go();
        await robot.clock.advance(3 * PERIOD_NS);
      }
      sent += robot.sent;
      broken.push(...robot.broken);
      const stopped = controller.stop();
      // Sleeping at most until a moment that the clock jumped back from.
      await robot.clock.advance(2e9);
      await stopped;
    }
    expect(broken.slice(0, 5)).toEqual([]);
    expect([...visited].sort()).toEqual(['HOLD', 'INIT', 'READY', 'RUNNING', 'STOPPED', 'TELEOP']);
    // Enough was let through for the rest to mean something.
    expect(sent).toBeGreaterThan(SEQUENCES);
  },
  120_000 + 20 * SEQUENCES,
);
