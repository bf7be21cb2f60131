// Chunks of any kind (10⁶ in CI) through the whole controller (the check of a chunk, every way to join chunks, every way between
// rows, the limits) in a time of its own: whatever a policy says, no command leaves the limits, and the limiter never has
// to refuse a number, because what is not one was refused before. TENDON_CHUNKS asks for another count.

import { describe, expect, test } from 'vitest';
import { Controller, type Limits } from '../../src/control/index.js';
import { Random } from '../../src/sim/random.js';
import {
  type ActionChunk,
  type ChunkMode,
  type Clock,
  type Command,
  INTERPOLATIONS,
  type Observation,
  type Policy,
  type Robot,
  type RobotStatus,
} from '../../src/types/index.js';
import { cases } from './mutations.js';

const CHUNKS = Number(process.env.TENDON_CHUNKS ?? cases(1_000_000));
const RATE_HZ = 100;
const PERIOD_NS = 10e6;
const ROW_NS = 25e6;
const FRESHNESS_MS = 50;
const DIM = 2;

const RANGES = { lower: [-1, -0.2], upper: [1, 0.5], velocity: [2, 0.5] };
const LIMITS: readonly Limits[] = [
  RANGES,
  { ...RANGES, acceleration: [20, 5] },
  { ...RANGES, acceleration: [20, 5], jerk: [400, 200] },
];
const MODES: readonly ChunkMode[] = [
  { mode: 'receding' },
  { mode: 'async', aggregate: 'weighted_average' },
  { mode: 'async', aggregate: 'latest_only' },
  { mode: 'async', aggregate: 'average' },
  { mode: 'async', aggregate: 'conservative' },
  { mode: 'ensemble', coeff: 0.01 },
  { mode: 'rtc', schedule: 'exp', derivative: false },
  { mode: 'rtc', schedule: 'linear', derivative: false, candidates: 3 },
  { mode: 'bid', candidates: 3, decay: 0.5 },
];
const RUNS = MODES.length * INTERPOLATIONS.length * LIMITS.length;

/** Passes at once, a few turns of the microtask queue a period, so that inference gets on. */
class QuickClock implements Clock {
  private time_ns = 1e9;
  private ticks = 0;

  now_ns(): number {
    return this.time_ns;
  }

  async sleepUntil(at_ns: number): Promise<void> {
    this.time_ns = Math.max(this.time_ns, at_ns);
    if (++this.ticks % 2000 === 0) await new Promise((go) => setImmediate(go));
    else for (let turn = 0; turn < 5; turn++) await undefined;
  }
}

/** A number that a broken policy might say where a number is expected. */
function wild(random: Random): number {
  const kind = random.next();
  if (kind < 0.3) return Number.NaN;
  if (kind < 0.4) return Number.POSITIVE_INFINITY;
  if (kind < 0.5) return Number.NEGATIVE_INFINITY;
  return random.normal() * 10 ** random.uniform(-3, kind < 0.9 ? 6 : 300);
}

/** Mostly a chunk with jumps far outside the limits; often enough one that is wrong in one of many ways. */
function nonsense(random: Random, now_ns: number): ActionChunk {
  const broken = random.next() < 0.3 ? Math.floor(random.next() * 12) : -1;
  let horizon = 1 + Math.floor(random.next() * 6);
  const rows = horizon;
  let action_dim = DIM;
  let n_candidates = random.next() < 0.5 ? 1 : 2 + Math.floor(random.next() * 2);
  let count = 1;
  const scale = random.pick([0.01, 1, 1, 3, 1e3, 3e38]);
  let stamp_ns = Math.round(now_ns - random.next() * 4 * ROW_NS);
  let period_ns = random.next() < 0.8 ? ROW_NS : random.pick([0, 1, 0.3, PERIOD_NS, 7.7e6, 1e9]);
  if (broken === 0) horizon = random.pick([0, rows + 1, rows - 0.5, 2.5, -rows, Number.NaN]);
  if (broken === 1) action_dim = random.pick([0, 1, 3, 1.5, -2, Number.NaN]);
  if (broken === 2) count = random.pick([0, 0.5, 2]);
  if (broken === 3) stamp_ns = wild(random);
  if (broken === 4) stamp_ns = now_ns + random.uniform(0, 1) * 10 ** random.uniform(6, 14);
  if (broken === 5) stamp_ns = now_ns - random.uniform(0, 1) * 10 ** random.uniform(8, 14);
  if (broken === 6) period_ns = wild(random);
  const length = Math.floor(rows * (broken === 1 && action_dim > 0 ? action_dim : DIM) * count);
  const numbers = (size: number) => Float32Array.from({ length: size }, () => random.uniform(-scale, scale));
  const actions = numbers(length);
  if (broken === 7 || broken === 8) actions[Math.floor(random.next() * length)] = wild(random);
  if (broken === 9) n_candidates = random.pick([0, 4, 2.5, Number.NaN]);
  const all = numbers(length * Math.floor(n_candidates > 1 && broken !== 9 ? n_candidates : 2));
  if (broken === 10) all[Math.floor(random.next() * all.length)] = wild(random);
  const timing = { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 };
  const chunk = { stamp_ns, period_ns, horizon, action_dim, actions, n_candidates, chosen: 0, timing };
  return n_candidates === 1 ? chunk : { ...chunk, candidates: all };
}

/** Follows every command, and compares it with the ones before. */
class Witness implements Robot {
  readonly observation_dims = { joint_position: DIM };
  readonly action_dim = DIM;
  readonly broken: string[] = [];
  sent = 0;
  moved = 0;
  controller: Controller | undefined;
  private readonly last = new Float64Array(DIM);
  private readonly speed = new Float64Array(DIM);
  private readonly rate = new Float64Array(DIM);
  private sent_ns = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly limits: Limits,
  ) {}

  async connect(): Promise<void> {}
  call = () => Promise.reject(new Error('none'));
  async close(): Promise<void> {}
  onStatus(listener: (status: RobotStatus) => void) {
    listener({ connected: true, cause: 'connected' });
    return () => undefined;
  }
  latest(): Observation {
    return { stamp_ns: this.clock.now_ns(), values: { joint_position: Float32Array.from(this.last) } };
  }

  send({ values, stamp_ns }: Command): boolean {
    const dt = PERIOD_NS / 1e9;
    const { lower, upper, velocity, acceleration, jerk } = this.limits;
    if (stamp_ns !== this.clock.now_ns()) this.say('stamped with another time than now');
    // Every period has its command, so each is compared with that of the period before.
    if (this.sent > 0 && stamp_ns !== this.sent_ns + PERIOD_NS) this.say('a period without a command');
    this.sent_ns = stamp_ns;
    this.sent++;
    for (let j = 0; j < DIM; j++) {
      const value = values[j]!;
      if (!(value >= lower[j]! && value <= upper[j]!)) this.say(`joint ${j} at ${value}`);
      const speed = (value - this.last[j]!) / dt;
      if (!(Math.abs(speed) <= velocity[j]! * (1 + 1e-9))) this.say(`joint ${j} at ${speed} per s`);
      const rate = (speed - this.speed[j]!) / dt;
      if (!(Math.abs(rate) <= (acceleration?.[j] ?? Infinity) * (1 + 1e-6)))
        this.say(`joint ${j} at ${rate} per s²`);
      // Positions divided thrice by the period.
      const jolt = Math.abs(rate - this.rate[j]!) / dt;
      if (!(jolt <= (jerk?.[j] ?? Infinity) * (1 + 1e-6) + 1e-8)) this.say(`joint ${j} at ${jolt} per s³`);
      if (speed !== 0) this.moved++;
      this.last[j] = value;
      this.speed[j] = speed;
      this.rate[j] = rate;
    }
    // Whatever is in force has passed the check and the joining, so it is whole and has only numbers.
    const playing = this.controller?.player.current;
    if (playing !== undefined) {
      if (playing.actions.length !== playing.horizon * DIM) this.say('a chunk in force is not whole');
      if (!playing.actions.every(Number.isFinite)) this.say('a chunk in force has more than numbers');
      // One from the future would hold its first row until then.
      if (!(playing.stamp_ns <= stamp_ns + FRESHNESS_MS * 1e6)) this.say('a chunk in force is of later');
    }
    return true;
  }

  private say(what: string): void {
    if (this.broken.length < 5) this.broken.push(what);
  }
}

async function live(
  run: number,
  chunks: ChunkMode,
  interpolation: (typeof INTERPOLATIONS)[number],
  limits: Limits,
) {
  const random = new Random(run + 1);
  const clock = new QuickClock();
  const robot = new Witness(clock, limits);
  const said = { chunks: 0, prefixes: 0 };
  const count = Math.ceil(CHUNKS / RUNS);
  let enough = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const policy: Policy = {
    spec: {
      family: 'nonsense',
      n_obs_steps: 1,
      horizon: 6,
      n_action_steps: 1,
      action_dim: DIM,
      observation_dims: robot.observation_dims,
      image_shapes: {},
      goal_dims: {},
      rate_hz: 1e9 / ROW_NS,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(_, options) {
      if (options?.prefix !== undefined) said.prefixes++;
      if (++said.chunks >= count) enough();
      if (random.next() < 0.02) throw new Error('no idea');
      return nonsense(random, clock.now_ns());
    },
  };
  const controller = new Controller({
    robot,
    policy,
    clock,
    limits,
    rate_hz: RATE_HZ,
    position_key: 'joint_position',
    freshness_ms: FRESHNESS_MS,
    inference_ms: 1000,
    lifetime_ms: 50,
    // Asks in every period, whatever is in force.
    execute: Number.NEGATIVE_INFINITY,
    interpolation,
    chunks,
  });
  robot.controller = controller;
  const { supervisor } = controller;
  supervisor.onChange(({ to }) => {
    if (to === 'READY') controller.go();
  });
  controller.start();
  await done;
  await controller.stop();
  return { robot, said, stats: controller.stats, counts: supervisor.counts };
}

let told = 0;

describe(`${CHUNKS} random chunks never yield a command outside the limits`, () => {
  test.each(MODES.map((mode, i) => [mode, i] as const))('%o', async (mode, place) => {
    let run = place * INTERPOLATIONS.length * LIMITS.length;
    for (const interpolation of INTERPOLATIONS)
      for (const limits of LIMITS) {
        const { robot, said, stats, counts } = await live(run++, mode, interpolation, limits);
        const at = `${interpolation}, run ${run}`;
        told += said.chunks;
        expect(robot.broken, at).toEqual([]);
        expect(counts.internal_error, at).toBe(0);
        expect(counts.command_not_finite, at).toBe(0);
        expect(stats.listener_errors, at).toBe(0);
        // It was all there: refused chunks, used up ones, targets beyond the range, and motion all the while.
        expect(counts.inference_failed, at).toBeGreaterThan(said.chunks / 20);
        expect(counts.chunk_underrun, at).toBeGreaterThan(said.chunks / 200);
        expect(counts.position_limited, at).toBeGreaterThan(said.chunks / 20);
        expect(robot.sent, at).toBeGreaterThan(said.chunks / 2);
        expect(robot.moved, at).toBeGreaterThan(robot.sent / 4);
        expect(said.prefixes > 0, at).toBe(mode.mode === 'rtc');
      }
  });

  test('and there were as many', () => expect(told).toBeGreaterThanOrEqual(CHUNKS));
});
