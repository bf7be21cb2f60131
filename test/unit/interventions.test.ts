// Each intervention of the supervisor, brought about through the controller's own doors in a time moved by hand: it is
// counted when its cause is there and not before, and those that hold the robot say why. One without a case here does not
// compile.

import { describe, expect, test } from 'vitest';
import { Controller, INTERVENTIONS, type Intervention, ManualClock } from '../../src/control/index.js';
import type { ControllerOptions } from '../../src/control/options.js';
import type {
  ActionChunk,
  Command,
  Observation,
  Policy,
  Robot,
  RobotStatus,
  SteeringReport,
} from '../../src/types/index.js';
import { connectedRobot } from './connected-robot.js';

const PERIOD_NS = 10e6;
const WIDE = { lower: [-10], upper: [10], velocity: [1000] };

/** What a case may change while the controller runs; as it is, nothing is wrong. */
class World {
  readonly clock = new ManualClock(1e9);
  /** Rows of the next chunk, or never an answer, or a failure. */
  rows: readonly (readonly number[])[] | 'never' | 'fails' = Array.from({ length: 400 }, () => [0]);
  measured = [0];
  /** The stamp of what is seen; now, unless set. */
  seen_ns: number | undefined;
  takes = true;
  steering: SteeringReport | undefined;
  broken = false;
  status: (status: RobotStatus) => void = () => undefined;

  /** What the parts of the policy say from now on. */
  says(some: Partial<SteeringReport>): void {
    this.steering = {
      scores: {},
      order: [0],
      ruled: false,
      monitors: [],
      guardians: [],
      skipped: {},
      ...some,
    };
  }

  robot(joints: number): Robot {
    return {
      ...connectedRobot(joints),
      onStatus: (listener) => {
        this.status = listener;
        listener({ connected: true, cause: 'connected' });
        return () => undefined;
      },
      latest: (): Observation => {
        if (this.broken) throw new Error('a fault in the robot’s port');
        const stamp_ns = this.seen_ns ?? this.clock.now_ns();
        return { stamp_ns, values: { joint_position: Float32Array.from(this.measured) } };
      },
      send: (_: Command) => this.takes,
    };
  }

  policy(joints: number): Policy {
    return {
      spec: {
        family: 'scripted',
        n_obs_steps: 1,
        horizon: 400,
        n_action_steps: 8,
        action_dim: joints,
        observation_dims: { joint_position: joints },
        image_shapes: {},
        goal_dims: {},
        rate_hz: 100,
      },
      reset: () => undefined,
      close: () => undefined,
      infer: async (window): Promise<ActionChunk> => {
        const { rows } = this;
        if (rows === 'fails') throw new Error('no numbers today');
        if (rows === 'never') return new Promise(() => undefined);
        return {
          stamp_ns: (window as readonly Observation[]).at(-1)!.stamp_ns,
          period_ns: PERIOD_NS,
          horizon: rows.length,
          action_dim: joints,
          actions: Float32Array.from(rows.flat()),
          n_candidates: 1,
          chosen: 0,
          steering: this.steering,
          timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
        };
      },
    };
  }
}

interface Case {
  readonly holds: boolean;
  readonly options?: Partial<ControllerOptions>;
  readonly start?: readonly number[];
  happen(world: World, controller: Controller): void;
}
const target = (value: number) => (world: World) => {
  world.rows = Array.from({ length: 400 }, () => [value]);
};

const CASES: Readonly<Record<Intervention, Case>> = {
  robot_lost: {
    holds: true,
    happen: (world) => world.status({ connected: false, cause: 'the cable is out' }),
  },
  observation_stale: {
    holds: true,
    happen: (world) => {
      world.seen_ns = world.clock.now_ns();
    },
  },
  observation_invalid: {
    holds: true,
    happen: (world) => {
      world.measured = [Number.NaN];
    },
  },
  inference_late: {
    holds: true,
    options: { inference_ms: 50 },
    happen: (world) => {
      world.rows = 'never';
    },
  },
  inference_failed: {
    holds: true,
    happen: (world) => {
      world.rows = 'fails';
    },
  },
  chunk_underrun: {
    holds: true,
    options: { inference_ms: 60_000 },
    happen: (world) => {
      world.rows = 'never';
    },
  },
  part_held: { holds: true, happen: (world) => world.says({ hold: 'guard: outside' }) },
  monitor_alarm: {
    holds: false,
    happen: (world) => world.says({ monitors: [{ name: 'ood', value: 2, bound: 1, step: 3, alarm: true }] }),
  },
  part_skipped: { holds: false, happen: (world) => world.says({ skipped: { q: 'late' } }) },
  operator_silent: {
    holds: true,
    // The last beat is when it was set going.
    options: { operator_timeout_ms: 400 },
    happen: () => undefined,
  },
  takeover_silent: { holds: true, happen: (_, controller) => void controller.takeOver([0], 50) },
  stop_unknown: {
    holds: true,
    options: { stop_topic: true },
    // The link is gone and back between two periods.
    happen: (world) => {
      world.status({ connected: false, cause: 'the cable is out' });
      world.status({ connected: true, cause: 'connected' });
    },
  },
  outage_long: {
    holds: true,
    options: { resume_within_ms: 20 },
    happen: (world) => world.status({ connected: false, cause: 'the cable is out' }),
  },
  clock_jump: { holds: true, happen: (world) => world.clock.jump(1e9) },
  command_not_finite: {
    holds: true,
    options: {
      limits: { lower: [-2, -2, -2, -2], upper: [2, 2, 2, 2], velocity: [9, 9, 9, 9] },
      rotations: [{ at: 0, as: 'quaternion' }],
      // Between two rows every other period.
      interpolation: 'linear',
      rate_hz: 200,
    },
    start: [0, 0, 0, 1],
    // A quaternion of no length turns nothing.
    happen: (world) => {
      world.rows = Array.from({ length: 400 }, () => [0, 0, 0, 0]);
    },
  },
  position_limited: {
    holds: false,
    options: { limits: { lower: [-1], upper: [1], velocity: [1000] } },
    happen: target(5),
  },
  velocity_limited: {
    holds: false,
    options: { limits: { lower: [-1], upper: [1], velocity: [0.1] } },
    happen: target(0.5),
  },
  step_limited: {
    holds: false,
    options: { limits: { ...WIDE, step_from_measured: [0.01] } },
    happen: target(0.5),
  },
  acceleration_limited: {
    holds: false,
    options: { limits: { ...WIDE, acceleration: [1] } },
    happen: target(0.5),
  },
  workspace_limited: {
    holds: false,
    options: {
      limits: { ...WIDE, velocity: [1], acceleration: [5] },
      workspace: {
        lower: [-0.1, -0.1, -0.1],
        upper: [0.1, 0.1, 0.1],
        chain: [
          {
            kind: 'prismatic',
            origin: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
            axis: [1, 0, 0],
            joint: 0,
            scale: 1,
            offset: 0,
          },
        ],
      },
    },
    happen: target(0.5),
  },
  jerk_limited: {
    holds: false,
    options: { limits: { ...WIDE, velocity: [1], acceleration: [5], jerk: [20] } },
    happen: target(0.5),
  },
  internal_error: {
    holds: true,
    happen: (world) => {
      world.broken = true;
    },
  },
  send_failed: {
    holds: false,
    happen: (world) => {
      world.takes = false;
    },
  },
};

describe('an intervention is counted when its cause is there', () => {
  test.each(Object.keys(INTERVENTIONS) as Intervention[])('%s', async (name) => {
    const { holds, options, start, happen } = CASES[name];
    const world = new World();
    const joints = options?.limits?.lower.length ?? 1;
    if (start !== undefined) {
      world.measured = [...start];
      world.rows = Array.from({ length: 400 }, () => start);
    }
    const controller = new Controller({
      robot: world.robot(joints),
      policy: world.policy(joints),
      clock: world.clock,
      limits: WIDE,
      rate_hz: 100,
      position_key: 'joint_position',
      freshness_ms: 100,
      inference_ms: 1000,
      lifetime_ms: 100,
      ...options,
    });
    const { supervisor } = controller;
    const held: string[] = [];
    supervisor.onChange(({ to, cause }) => to === 'HOLD' && held.push(cause));
    controller.start();
    await world.clock.advance(5 * PERIOD_NS);
    controller.operatorBeat();
    controller.go();
    await world.clock.advance(20 * PERIOD_NS);
    expect(supervisor.state).toBe('RUNNING');
    expect(supervisor.counts[name]).toBe(0);

    happen(world, controller);
    await world.clock.advance(500 * PERIOD_NS);
    expect(supervisor.counts[name]).toBeGreaterThan(0);
    const said = held.filter((cause) => cause.startsWith(INTERVENTIONS[name]));
    if (holds) expect(said.length).toBeGreaterThan(0);
    else expect(held).toEqual([]);
    const stopped = controller.stop();
    await world.clock.advance(2 * PERIOD_NS);
    await stopped;
  });
});
