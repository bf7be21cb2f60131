// What the tests of a controller in bad weather share: a policy that wants too much, and eyes on what control hands over.

import type { Controller } from '../../src/control/index.js';
import type { Random } from '../../src/sim/random.js';
import type { ActionChunk, Command, Observation, Policy } from '../../src/types/index.js';
import { wait } from './support.js';

/** Wants to be far away at once, every time somewhere else: only the limits keep it tame. */
export function restless(random: Random, action_dim: number): Policy {
  return {
    spec: {
      family: 'restless',
      n_obs_steps: 1,
      horizon: 8,
      n_action_steps: 4,
      action_dim,
      observation_dims: { joint_position: action_dim },
      image_shapes: {},
      goal_dims: {},
      rate_hz: 50,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window): Promise<ActionChunk> {
      await wait(5);
      return {
        stamp_ns: (window as readonly Observation[]).at(-1)!.stamp_ns,
        period_ns: 20e6,
        horizon: 8,
        action_dim,
        actions: Float32Array.from({ length: 8 * action_dim }, () => random.uniform(-3, 3)),
        n_candidates: 1,
        chosen: 0,
        timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
      };
    },
  };
}

export interface Watched {
  readonly rate_hz: number;
  readonly lifetime_ms: number;
  readonly freshness_ms: number;
  readonly limits: { readonly [name in 'lower' | 'upper' | 'velocity' | 'acceleration']: readonly number[] };
  /** The newest observation's stamp. */
  readonly observed_ns: () => number | undefined;
  readonly controller: () => Controller;
}

/** Looks at every command where nothing is rounded or lost yet; what is wrong with one is in `wrong`. */
export function eyes({ rate_hz, lifetime_ms, freshness_ms, limits, observed_ns, controller }: Watched) {
  const wrong: string[] = [];
  const seen = { sent: 0, stale: 0 };
  let before: { tick: number; values: Float64Array; speed: number[] | undefined } | undefined;
  const look = (command: Command): void => {
    const { ticks } = controller().stats;
    const observed = observed_ns();
    const values = Float64Array.from(command.values);
    let speed: number[] | undefined;
    values.forEach((v, j) => {
      if (!(v >= limits.lower[j]! && v <= limits.upper[j]!)) wrong.push(`joint ${j} at ${v}`);
    });
    // Between ticks in a row every limit holds; after a silence commands begin anew where the robot is.
    if (before?.tick === ticks - 1) {
      const last = before.values;
      speed = Array.from(values, (v, j) => (v - last[j]!) * rate_hz);
      speed.forEach((v, j) => {
        if (Math.abs(v) > limits.velocity[j]! * (1 + 1e-9)) wrong.push(`joint ${j} at ${v} per s`);
        const was = before?.speed?.[j];
        if (was !== undefined && Math.abs(v - was) * rate_hz > limits.acceleration[j]! * (1 + 1e-6))
          wrong.push(`joint ${j} from ${was} to ${v} per s`);
      });
    }
    if (command.expires_ns - command.stamp_ns !== lifetime_ms * 1e6) wrong.push('a lifetime of its own');
    if (observed === undefined || command.stamp_ns - observed > freshness_ms * 1e6) {
      seen.stale++;
      // The tick that finds the robot stale holds it: from its first command on it brakes.
      const { state } = controller().supervisor;
      if (state !== 'HOLD') wrong.push(`stale but ${state}`);
      const was = before?.speed;
      if (speed !== undefined && was !== undefined)
        speed.forEach((v, j) => {
          if (Math.abs(v) > Math.abs(was[j]!) + 1e-9) wrong.push(`faster while stale: ${was[j]} to ${v}`);
        });
    }
    before = { tick: ticks, values, speed };
    seen.sent++;
  };
  /** The command just looked at did not get through: the next begins where the robot is, as after a silence. */
  const refused = (): void => {
    before = undefined;
  };
  return { look, refused, wrong, seen };
}
