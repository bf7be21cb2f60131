// Whatever happens to a controller in whatever order, and whatever carries its commands: random sequences of what people,
// robots, policies, schedulers and clocks do, and of what may leave while they do it (sink-stage.ts). Virtual time;
// TENDON_SEQUENCES asks for more of them than a test run has time for.

import { describe, expect, test } from 'vitest';
import { Random } from '../../src/sim/random.js';
import type { ActionChunk, CommandQuantity, Observation, Policy, SinkKind } from '../../src/types/index.js';
import { PERIOD_NS, Stage } from './sink-stage.js';

const SEQUENCES = Number(process.env.TENDON_SEQUENCES ?? 300);
const EVENTS = 12;
/** One controller lives through as many sequences, so that each begins in a state that the last one left. */
const LIVES = 50;

/** Commands of velocity go through the sinks that can hold a robot that drives on by itself. */
const PAIRS: readonly [CommandQuantity, SinkKind, (readonly number[])?][] = [
  ['position', 'direct'],
  ['position', 'direct', [80, 150]],
  ['position', 'goals', [80, 150]],
  ['position', 'executor', [80, 150]],
  ['position', 'dry'],
  ['position', 'goals'],
  ['position', 'executor'],
  ['velocity', 'direct'],
  ['velocity', 'dry'],
];

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
function happens(random: Random, stage: Stage): void {
  const { controller } = stage;
  const person = (): void => {
    stage.held = false;
  };
  const somewhere = (): number[] => [random.uniform(-0.9, 0.9), random.uniform(-1.9, 1.9)];
  const { state } = controller;
  const events: (() => void)[] = [
    () => controller.go(),
    () => controller.go(),
    () => {
      controller.hold();
      stage.held = controller.state === 'HOLD';
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
      if (controller.takeOver([random.uniform(-3, 3), random.uniform(-3, 3)], random.uniform(5, 200)))
        person();
    },
    () => {
      if (state === 'TELEOP') controller.takeOver(undefined);
    },
    () => void controller.takeOver([Number.NaN, 1]),
    () => controller.shareWith({ kind: 'blend', share: random.next() }),
    () => controller.shareWith({ kind: 'take_over' }),
    () => stage.link(false),
    () => stage.link(false, true),
    () => stage.link(true),
    () => stage.link(true),
    () => {
      stage.frozen = !stage.frozen;
    },
    () => {
      stage.odd = ([undefined, 'nan', 'short', 'future', 'past', 'missing'] as const)[
        Math.floor(random.next() * 6)
      ];
    },
    // One bad message, whatever the robot is at.
    ...(['nan', 'short', 'future', 'past', 'missing'] as const).map((odd) => () => {
      stage.odd = odd;
      stage.once = true;
    }),
    () => {
      stage.refuses = !stage.refuses;
    },
    // The process stands still for a while, or the machine sleeps; the robot is elsewhere afterwards.
    () => stage.paused(random.uniform(0.04, 0.3) * 1e9, somewhere()),
    () => stage.paused(random.uniform(1, 20) * 1e9, somewhere()),
    () => stage.paused(random.uniform(0, 0.03) * 1e9, stage.position),
    () => {
      // The thread and the robot's own controller have clocks of their own.
      if (stage.inner.kind === 'direct' || stage.inner.kind === 'dry')
        stage.paused(-random.uniform(0.04, 0.3) * 1e9, stage.position);
    },
    () => {
      if (state === 'INIT' || state === 'READY' || state === 'STOPPED') stage.position = somewhere();
    },
  ];
  events[Math.floor(random.next() * events.length)]!();
}

describe(`${SEQUENCES} random sequences of events: nothing leaves that should not`, () => {
  test.each(PAIRS)(
    '%s × %s (jerk %s)',
    async (quantity, sink, jerk) => {
      const broken: string[] = [];
      const visited = new Set<string>();
      let sent = 0;
      for (let sequence = 0; sequence < SEQUENCES; ) {
        const random = new Random(sequence + 1);
        const stage = new Stage({ quantity, sink, jerk, policy: unreliable(random) });
        const { controller } = stage;
        for (let life = 0; life < LIVES && sequence < SEQUENCES; life++, sequence++) {
          for (let event = 0; event < EVENTS; event++) {
            const before = stage.broken.length;
            happens(random, stage);
            visited.add(controller.state);
            await stage.ticks(Math.floor(random.uniform(0, 4)));
            for (const what of stage.broken.slice(before)) broken.push(`${sequence}.${event}: ${what}`);
          }
          // Half of the time everything is well again, and the robot gets under way before the next.
          if (random.next() < 0.5) continue;
          Object.assign(stage, { frozen: false, odd: undefined, refuses: false, held: false });
          stage.link(true);
          controller.reset(sequence);
          controller.resume();
          await stage.ticks(2);
          controller.go();
          await stage.ticks(8);
        }
        sent += stage.left.length;
        await stage.close();
      }
      expect(broken.slice(0, 5)).toEqual([]);
      expect([...visited].sort()).toEqual(['HOLD', 'INIT', 'READY', 'RUNNING', 'STOPPED', 'TELEOP']);
      // Enough was let through for the rest to mean something.
      expect(sent).toBeGreaterThan(SEQUENCES);
    },
    120_000 + 60 * SEQUENCES,
  );
});

test('the invariants see what they should: commands with the time of the sink and the limits taken away', async () => {
  const random = new Random(1);
  const stage = new Stage({ quantity: 'position', sink: 'direct', policy: unreliable(random) });
  stage.send({ stamp_ns: 0, expires_ns: 0, values: Float64Array.of(3, 0) });
  await stage.ticks(1);
  expect(stage.broken.join()).toMatch(
    /sends nothing.*after a stop.*no life left.*without a beginning.*range/s,
  );
  await stage.close();
  expect(PERIOD_NS).toBe(10e6);
});
