// `tendon bench`: ours against onnxruntime-node on the same network, interleaved in one run, with the machine's own
// limits measured in that run. A figure in a document comes from here.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { addon, type GraphBuilder, type Precision } from '../native/index.js';
import { type UnetShape, unetGraph } from '../policies/diffusion/unet.js';
import { openFamily } from '../policies/load.js';
import { ddimTable, encodeRows, type SamplerTable } from '../samplers/index.js';
import { taskNames } from '../sim/tasks.js';
import { TendonError } from '../types/index.js';
import { writeOnnx } from '../weights/onnx-write.js';
import { randomCheckpoint } from './bench-weights.js';
import type { Command } from './command.js';
import { PACKAGE_ROOT } from './sim-session.js';

interface Work {
  readonly name: string;
  /** Rows of the step input. */
  readonly batch: number;
  readonly table: SamplerTable;
  graph(): GraphBuilder;
  schedule(table: SamplerTable): Record<string, Float32Array>;
}

export interface BenchRow {
  readonly name: string;
  readonly precision: string;
  readonly ours_ms: number;
  readonly ours_p99_ms: number;
  readonly peer_ms: number;
  readonly ratio: number;
  /** Floating-point operations or weight bytes per second, as a share of what this machine did in the same run. */
  readonly limit_share: number;
}

const DIFFUSERS = {
  num_train_timesteps: 100,
  beta_schedule: 'squaredcos_cap_v2',
  beta_start: 0.0001,
  beta_end: 0.02,
  prediction_type: 'epsilon',
  clip_sample: true,
  clip_sample_range: 1,
};

export const bench: Command = {
  summary: 'ours against onnxruntime-node in one run',
  usage: 'tendon bench [--only unet5m] [--json FILE] [--seconds 6]',
  options: {
    only: { type: 'string', help: 'rows whose name contains this' },
    json: { type: 'string', help: 'write the rows to this file' },
    seconds: { type: 'string', default: '6', help: 'time for each row' },
    large: { type: 'boolean', default: false, help: 'with the 251 M UNet too (needs 6 GB of memory)' },
    threads: { type: 'string', default: String(cpus().length), help: 'threads of both sides' },
  },
  async run(values, { integer, text, say }) {
    const threads = integer('threads', 1, 256);
    const folder = mkdtempSync(join(tmpdir(), 'tendon-bench-'));
    const rows: BenchRow[] = [];
    try {
      const limits = measureLimits();
      say(
        `${cpus()[0]?.model.trim()}, ${threads} threads, kernels ${addon().isa()}; onnxruntime-node on the same threads, f32`,
      );
      say(`memory read ${limits.bytes_per_s.toFixed(1)} GB/s (one thread of JavaScript, a lower bound)\n`);
      say('  row                     precision   ours ms     p99   ORT ms   ours/ORT');
      for (const work of works(folder, values.large === true)) {
        if (values.only !== undefined && !work.name.includes(text('only'))) continue;
        for (const row of await compare(work, threads, integer('seconds', 1, 600) * 1000, limits)) {
          rows.push(row);
          say(
            `  ${row.name.padEnd(23)} ${row.precision.padEnd(9)} ${row.ours_ms.toFixed(3).padStart(9)} ${row.ours_p99_ms.toFixed(3).padStart(7)} ${row.peer_ms.toFixed(3).padStart(8)} ${row.ratio.toFixed(3).padStart(10)}`,
          );
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    if (values.json !== undefined) writeFileSync(text('json'), `${JSON.stringify(rows, null, 1)}\n`);
    return 0;
  },
};

function* works(folder: string, large: boolean): Generator<Work> {
  for (const task of taskNames()) {
    if (!existsSync(join(PACKAGE_ROOT, 'models', task, 'config.json'))) continue;
    const family = openFamily(join(PACKAGE_ROOT, 'models', task));
    if ('kind' in family) continue;
    for (const [suffix, steps] of [
      ['step', 1],
      ['chunk10', 10],
    ] as const)
      yield {
        name: `demo.${task}.${suffix}`,
        batch: 1,
        table: family.table(family.defaults.sampler, steps),
        graph: () => family.graph(1),
        schedule: (table) => family.schedule(table),
      };
  }
  const unets: [string, readonly number[], number][] = [['unet5m', [128, 256, 256], 64]];
  if (large) unets.push(['unet251m', [512, 1024, 2048], 128]);
  for (const [name, down_dims, step_embed_dim] of unets) {
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
    const tensors = randomCheckpoint(join(folder, `${name}.safetensors`), (t) => unetGraph(shape, t, 1));
    const schedule = (table: SamplerTable): Record<string, Float32Array> => ({
      timestep_embedding: Float32Array.from({ length: table.levels.length * step_embed_dim }, (_, i) =>
        Math.sin(i),
      ),
    });
    const graph = (): GraphBuilder => unetGraph(shape, tensors, 1);
    for (const batch of [1, 16])
      yield { name: `${name}.b${batch}.step`, batch, table: ddimTable(DIFFUSERS, 1), graph, schedule };
    if (name === 'unet5m')
      yield { name: `${name}.b1.chunk10`, batch: 1, table: ddimTable(DIFFUSERS, 10), graph, schedule };
  }
}

function measureLimits(): { bytes_per_s: number } {
  const data = new Float64Array(16 << 20);
  let best = 0;
  let sum = 0;
  for (let round = 0; round < 4; round++) {
    const began = performance.now();
    for (let i = 0; i < data.length; i += 8) sum += data[i]!;
    best = Math.max(best, (data.byteLength / (performance.now() - began)) * 1e-6);
  }
  if (Number.isNaN(sum)) throw new TendonError('internal', 'the memory probe read NaN');
  return { bytes_per_s: best };
}

/** Alternates the peer and each precision until the time is up; medians. */
async function compare(
  work: Work,
  threads: number,
  budget_ms: number,
  limits: { bytes_per_s: number },
): Promise<BenchRow[]> {
  const graph = work.graph();
  const peer = await InferenceSession.create(writeOnnx(graph, work.batch), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const pool = new (addon().Pool)({ threads });
  const calls = work.table.rows.length;
  const schedule = work.schedule(work.table);
  const sides = await Promise.all(
    (['f32', 'bf16', 'int8'] as Precision[]).map(async (precision) => {
      const model = await addon().compileModel(work.graph().native, { precision, pool });
      const session = await model.openSession({ batch: work.batch });
      await session.setTable(encodeRows(work.table), schedule);
      return { precision, session, bytes: model.report().packed_bytes, times: [] as number[] };
    }),
  );
  const first = sides[0]!.session;
  const fill = (shape: readonly number[]): Float32Array =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.7));
  const x = first.inputs.find((p) => p.stage === 'step')!;
  const inputs = Object.fromEntries(
    first.inputs.filter((p) => p.stage === 'observation').map((p) => [p.name, fill(p.shape)]),
  );
  const feeds = (call: number): Record<string, Tensor> =>
    Object.fromEntries(
      first.inputs.map((p) => {
        if (p.stage !== 'schedule')
          return [
            p.name,
            new Tensor('float32', p.stage === 'step' ? fill(x.shape) : inputs[p.name]!, [...p.shape]),
          ];
        const width = p.shape.reduce((a, b) => a * b, 1);
        return [
          p.name,
          new Tensor('float32', schedule[p.name]!.slice(call * width, (call + 1) * width), [...p.shape]),
        ];
      }),
    );
  const every = Array.from({ length: calls }, (_, call) => feeds(call));
  const start = fill(x.shape);
  const peer_times: number[] = [];
  const until = performance.now() + budget_ms;
  for (let round = 0; round < 5 || performance.now() < until; round++) {
    let began = performance.now();
    for (const feed of every) await peer.run(feed);
    if (round > 1) peer_times.push(performance.now() - began);
    for (const side of sides) {
      began = performance.now();
      await side.session.denoise({ inputs, start });
      if (round > 1) side.times.push(performance.now() - began);
    }
  }
  await peer.release();
  const peer_ms = median(peer_times);
  return sides.map(({ precision, times, bytes }) => {
    const ours_ms = median(times);
    return {
      name: work.name,
      precision,
      ours_ms,
      ours_p99_ms: quantile(times, 0.99),
      peer_ms,
      ratio: ours_ms / peer_ms,
      limit_share: (bytes * calls * 1e-6) / ours_ms / limits.bytes_per_s,
    };
  });
}

const quantile = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
};
const median = (values: readonly number[]): number => quantile(values, 0.5);
