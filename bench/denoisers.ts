// The rows that denoise: a step or a whole chunk of the demo policies, of UNets of two sizes and of BESO's score
// transformer, ours against onnxruntime-node called once per step on the same network.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { addon, type GraphBuilder, type Precision } from '../src/native/index.js';
import { type UnetShape, unetGraph } from '../src/networks/index.js';
import { BesoConfig } from '../src/policies/beso/config.js';
import { besoGraph } from '../src/policies/beso/graph.js';
import { openFamily } from '../src/policies/load.js';
import {
  ddimTable,
  edmPreconditioner,
  encodeRows,
  type SamplerTable,
  sigmaSchedule,
  sigmaTable,
} from '../src/samplers/index.js';
import { PACKAGE_ROOT } from '../src/session/sim-session.js';
import { taskNames } from '../src/sim/tasks.js';
import { writeOnnx } from '../src/weights/onnx-write.js';
import type { Contest } from './contest.js';
import { hasTorch, Torch } from './torch.js';
import { randomCheckpoint } from './weights.js';

export interface Work {
  readonly name: string;
  /** Rows of the step input. */
  readonly batch: number;
  readonly table: SamplerTable;
  /** Of all steps solved together; the peer goes on one by one. */
  readonly parallel_tolerance?: number;
  graph(): GraphBuilder;
  schedule(table: SamplerTable): Record<string, Float32Array>;
}

/** A thousandth of a normalised action. */
const PARALLEL_TOLERANCE = 1e-3;

const DIFFUSERS = {
  num_train_timesteps: 100,
  beta_schedule: 'squaredcos_cap_v2',
  beta_start: 0.0001,
  beta_end: 0.02,
  prediction_type: 'epsilon',
  clip_sample: true,
  clip_sample_range: 1,
};

/** Work of the bench by name; building one writes its random weights into `folder`. */
export function denoisers(folder: string, large: boolean): Map<string, () => Work> {
  const works = new Map<string, () => Work>();
  for (const task of taskNames()) {
    if (!existsSync(join(PACKAGE_ROOT, 'models', task, 'config.json'))) continue;
    works.set(`demo.${task}.step`, () => demo(task, 'step', 1));
    works.set(`demo.${task}.chunk10`, () => demo(task, 'chunk10', 10));
  }
  const unet = (name: string, down_dims: readonly number[], embed: number): void => {
    for (const [batch, what, steps] of [
      [1, 'step', 1],
      [16, 'step', 1],
      [1, 'chunk10', 10],
    ] as const)
      works.set(`${name}.b${batch}.${what}`, () =>
        unetWork(folder, `${name}.b${batch}.${what}`, down_dims, embed, batch, steps),
      );
    works.set(`${name}.b1.parallel10`, () => ({
      ...unetWork(folder, `${name}.b1.parallel10`, down_dims, embed, 1, 10),
      parallel_tolerance: PARALLEL_TOLERANCE,
    }));
  };
  unet('unet5m', [128, 256, 256], 64);
  if (large) unet('unet251m', [512, 1024, 2048], 128);
  works.set('gpt9m.b1.chunk3', () => transformerWork(folder));
  return works;
}

function demo(task: string, what: string, steps: number): Work {
  const family = openFamily(join(PACKAGE_ROOT, 'models', task));
  if ('kind' in family) throw new Error(`models/${task} does not denoise`);
  return {
    name: `demo.${task}.${what}`,
    batch: 1,
    table: family.sampling.plan(family.sampling.defaults.sampler, steps).table!,
    graph: () => family.network.graph(1),
    schedule: (table) => family.network.schedule(table.levels),
  };
}

function unetWork(
  folder: string,
  name: string,
  down_dims: readonly number[],
  step_embed_dim: number,
  batch: number,
  steps: number,
): Work {
  const shape: UnetShape = {
    prefix: '',
    horizon: 16,
    action_dim: 2,
    cond_dim: 132,
    down_dims,
    kernel_size: 5,
    n_groups: 8,
    step_embed_dim,
    film_scale: true,
  };
  const tensors = randomCheckpoint(join(folder, 'unet.safetensors'), (t) => unetGraph(shape, t, 1));
  return {
    name,
    batch,
    table: ddimTable(DIFFUSERS, steps),
    graph: () => unetGraph(shape, tensors, 1),
    schedule: (table) => ({
      timestep_embedding: Float32Array.from({ length: table.levels.length * step_embed_dim }, (_, i) =>
        Math.sin(i),
      ),
    }),
  };
}

/** BESO's score transformer as its kitchen configs have it: 9.4 M parameters, window 4, two goals, 3 DDIM steps. */
function transformerWork(folder: string): Work {
  const config = BesoConfig.parse({
    type: 'beso',
    input_features: {},
    output_features: {},
    normalization_mapping: {},
    state_dim: 30,
    action_dim: 9,
    embed_dim: 360,
    n_layers: 6,
    n_heads: 6,
    goal_conditioned: true,
    goal_seq_len: 2,
    obs_seq_len: 4,
    linear_output: true,
    sigma_data: 0.5,
    sigma_min: 0.005,
    sigma_max: 1,
  });
  const tensors = randomCheckpoint(join(folder, 'gpt.safetensors'), (t) => besoGraph(config, t, 4, 1));
  const schedule = sigmaSchedule('exponential', 3, config);
  return {
    name: 'gpt9m.b1.chunk3',
    batch: 1,
    table: sigmaTable('ddim', schedule, edmPreconditioner(config.sigma_data)),
    graph: () => besoGraph(config, tensors, 4, 1),
    schedule: (table) => ({ c_noise: Float32Array.from(table.levels) }),
  };
}

export async function denoiserContest(work: Work, threads: number): Promise<Contest> {
  const peer = await InferenceSession.create(writeOnnx(work.graph(), work.batch), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Its threads stop spinning when a run is over, so that they do not hold a core while ours is timed.
    extra: { session: { force_spinning_stop: '1' } },
    graphOptimizationLevel: 'all',
  });
  const pool = new (addon().Pool)({ threads });
  const calls = work.table.rows.length;
  const schedule = work.schedule(work.table);
  const sides = await Promise.all(
    (['f32', 'bf16', 'int8'] as Precision[]).map(async (precision) => {
      const model = await addon().compileModel(work.graph().native, { precision, pool });
      const session = await model.openSession({ batch: work.batch });
      await session.setTable(encodeRows(work.table), schedule, work.parallel_tolerance);
      return { precision, session };
    }),
  );
  const ports = sides[0]!.session.inputs;
  const x = ports.find((p) => p.stage === 'step')!;
  const start = wave(x.shape);
  const inputs = Object.fromEntries(
    ports.filter((p) => p.stage === 'observation').map((p) => [p.name, wave(p.shape)]),
  );
  const feeds = Array.from({ length: calls }, (_, call) =>
    Object.fromEntries(
      ports.map((p) => {
        const width = p.shape.reduce((a, b) => a * b, 1);
        const values =
          p.stage === 'step'
            ? start
            : p.stage === 'observation'
              ? inputs[p.name]!
              : schedule[p.name]!.slice(call * width, (call + 1) * width);
        return [p.name, new Tensor('float32', values, [...p.shape])];
      }),
    ),
  );
  const torch = (): Promise<Torch> =>
    Torch.open({
      graph: work.graph(),
      threads,
      calls,
      feeds: Object.fromEntries(
        ports.map((p) => {
          const width = p.shape.reduce((a, b) => a * b, 1);
          if (p.stage === 'step') return [p.name, [start]];
          if (p.stage === 'observation') return [p.name, [inputs[p.name]!]];
          return [p.name, feeds.map((_, call) => schedule[p.name]!.slice(call * width, (call + 1) * width))];
        }),
      ),
      shapes: Object.fromEntries(ports.map((p) => [p.name, p.shape])),
    });
  return {
    name: work.name,
    ...(hasTorch() ? { torch } : {}),
    ours: sides.map(({ precision, session }) => {
      const step = session.stages().find((s) => s.name === 'step')!;
      const others = session.stages().filter((s) => s.name === 'observation' || s.name === 'prepared');
      return {
        precision,
        flops: others.reduce((n, s) => n + s.flops, step.flops * calls),
        bytes: step.weight_bytes,
        reads: calls,
        run: () => session.denoise({ inputs, start }),
      };
    }),
    async peer() {
      for (const feed of feeds) await peer.run(feed);
    },
    close: () => peer.release(),
  };
}

const wave = (shape: readonly number[]): Float32Array =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.7));
