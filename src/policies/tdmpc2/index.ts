// The `tdmpc2` family (Hansen et al. 2024; tdmpc2.py): a latent world model planned through by MPPI at every step.

import { join } from 'node:path';
import type { PlannerTable } from '../../native/index.js';
import { type Observation, TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { worldGraph } from '../world-model/graph.js';
import type { WorldModelFamily } from '../world-model/planning-policy.js';
import { discountOf, Tdmpc2Config } from './config.js';
import { taskMask, tdmpc2Networks } from './networks.js';

const STATE = 'observation.state';
const IMAGE = 'observation.image';
/** Pixels an image may be shifted by, also when acting (layers.ShiftAug). */
const SHIFT = 3;

/** MPPI with TD-MPC2's numbers (TDMPC2._plan); two more iterations where actions have 20 dims or more. */
export function tdmpc2Table(config: Tdmpc2Config): PlannerTable {
  return {
    horizon: config.horizon,
    action_dim: config.action_dim,
    samples: config.num_samples - config.num_pi_trajs,
    prior: config.num_pi_trajs,
    iterations: config.iterations + (config.action_dim >= 20 ? 2 : 0),
    elites: config.num_elites,
    initial_std: config.max_std,
    min_std: config.min_std,
    max_std: config.max_std,
    temperature: config.temperature,
    critics: config.num_q,
    drawn: Math.min(2, config.num_q),
    ask: 'mean',
    pick: 'sampled',
  };
}

export function openTdmpc2(checkpoint: Checkpoint): WorldModelFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(Tdmpc2Config, 'tdmpc2');
  const others = Object.keys(config.obs_shape).filter((key) => key !== 'state' && key !== 'rgb');
  if (others.length > 0)
    throw new TendonError(
      'config_invalid',
      `${join(dir, 'config.json')}: obs_shape: expected state or rgb, got ${others.join(', ')}`,
    );
  const chosen = checkpoint.options.task ?? config.task_id;
  const task = typeof chosen === 'string' ? config.tasks.indexOf(chosen) : chosen;
  if (config.tasks[task] === undefined)
    throw new TendonError(
      'config_invalid',
      `task: expected 0 to ${config.tasks.length - 1} or one of ${config.tasks.join(', ')}, got ${chosen}`,
      { task: chosen },
    );
  const tensors = checkpoint.tensors('tdmpc2', 'model');
  // Copies of the critics for training, and buffers that only say what the config says.
  tensors.ignore(
    /^(_detach_Qs_params|_target_Qs_params|_target_Qs|_detach_Qs)\.|^log_std_(min|dif)$|__batch_size|__device|^_action_masks$/,
  );
  const networks = tdmpc2Networks(config, tensors, task);
  const mask = taskMask(config, tensors, task);
  const { state, rgb } = config.obs_shape;
  const graph = () => {
    const g = worldGraph(networks, { horizon: config.horizon, discount: discountOf(config, task) });
    tensors.finish();
    return g;
  };
  graph();
  const frames = rgb === undefined ? 1 : rgb[0]! / 3;
  return {
    kind: 'world-model',
    spec: {
      family: 'tdmpc2',
      n_obs_steps: frames,
      horizon: config.horizon,
      n_action_steps: 1,
      action_dim: config.action_dim,
      observation_dims: state === undefined ? {} : { [STATE]: state[0]! },
      image_shapes: rgb === undefined ? {} : { [IMAGE]: [3, rgb[1]!, rgb[2]!] },
      goal_dims: {},
      rate_hz: config.fps,
    },
    table: tdmpc2Table(config),
    discount: discountOf(config, task),
    repeats: 1,
    plans: config.mpc,
    graph,
    networks,
    observe(history, _goal, uniform) {
      const inputs: Record<string, Float32Array> = {};
      if (state !== undefined) inputs.state = history.at(-1)!.values[STATE]!;
      if (rgb !== undefined) inputs.rgb = stackFrames(history, [rgb[1]!, rgb[2]!], uniform);
      return inputs;
    },
    // Actions of TD-MPC2 are the environment's own, in [−1, 1].
    decode(actions) {
      if (mask !== undefined)
        for (let i = 0; i < actions.length; i++) if (mask[i % mask.length] === 0) actions[i] = 0;
    },
    encode: () => undefined,
  };
}

/**
 * (1, height, width, 3·frames) in [0, 255], oldest frame first, shifted together by up to SHIFT pixels. The peer samples a
 * grid bilinearly in f32, which lands a rounding beside the pixel; its arithmetic is followed so that latents agree.
 */
export function stackFrames(
  history: readonly Observation[],
  [height, width]: readonly [number, number],
  uniform: () => number,
): Float32Array {
  const channels = 3 * history.length;
  const out = new Float32Array(height * width * channels);
  const [across, down] = [width, height].map((n) => gridOf(n, Math.floor(uniform() * (2 * SHIFT + 1)))) as [
    Sample[],
    Sample[],
  ];
  history.forEach((observation, frame) => {
    const { data } = observation.images![IMAGE]!;
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const [h, v] = [across[x]!, down[y]!];
        const to = (y * width + x) * channels + frame * 3;
        for (let c = 0; c < 3; c++) {
          const at = (row: number, column: number): number => data[(row * width + column) * 3 + c]!;
          const top = at(v.low, h.low) * (1 - h.share) + at(v.low, h.high) * h.share;
          const bottom = at(v.high, h.low) * (1 - h.share) + at(v.high, h.high) * h.share;
          out[to + c] = top * (1 - v.share) + bottom * v.share;
        }
      }
  });
  return out;
}

/** Between which two pixels of the picture, whose border repeats itself outwards, a grid point falls. */
interface Sample {
  readonly low: number;
  readonly high: number;
  readonly share: number;
}

/** One axis of layers.ShiftAug: linspace over the padded picture, moved by `shift` pixels, as grid_sample reads it. */
function gridOf(n: number, shift: number): Sample[] {
  const f = Math.fround;
  const padded = n + 2 * SHIFT;
  const [start, end] = [f(-1 + 1 / padded), f(1 - 1 / padded)];
  const step = f(f(end - start) / (padded - 1));
  const moved = f(shift * f(2 / padded));
  const pixel = (i: number): number => Math.min(n - 1, Math.max(0, i - SHIFT));
  return Array.from({ length: n }, (_, i) => {
    // torch.linspace counts from the nearer end by eights, and on from there.
    const eight = i - (i % 8);
    const base = eight < padded / 2 ? f(start + f(step * eight)) : f(end - f(step * (padded - 1 - eight)));
    const line = f(base + f(step * (i - eight)));
    const at = f(f(f(f(f(line + moved) + 1) * padded) - 1) / 2);
    const low = Math.floor(at);
    return { low: pixel(low), high: pixel(low + 1), share: f(at - low) };
  });
}
