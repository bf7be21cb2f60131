// Samplers that TypeScript drives, one call of the network at a time: every sampler of a network that the core cannot
// compile, and those that decide their steps on the way (dpm_adaptive).

import {
  type CancelToken,
  type DenoiseRequest,
  type NativeSession,
  numbersOf,
  type RunResult,
} from '../native/index.js';
import type { Follow, Loop, Prefix, Question, Resampled } from '../samplers/index.js';
import { TendonError } from '../types/index.js';

export type Denoised = RunResult & { readonly x: Float32Array };

/** The network's answer F; undefined where it is not finite. */
export type Ask = (question: Question) => Promise<ArrayLike<number> | Resampled | undefined>;

/** Changes an answer F of the network on its way to the sampler. */
export type Steer = (question: Question, f: ArrayLike<number>) => Promise<ArrayLike<number> | Resampled>;

/** Follows a loop to its end; between two calls it hears whether anybody still waits. */
export async function runLoop(
  loop: Loop,
  ask: Ask,
  cancel: Pick<CancelToken, 'cancelled'> | undefined,
): Promise<
  { status: 'ok'; x: Float64Array; calls: number } | { status: 'cancelled' | 'not_finite'; calls: number }
> {
  let calls = 0;
  let step = loop.next();
  while (step.done !== true) {
    if (cancel?.cancelled) return { status: 'cancelled', calls };
    const answer = await ask(step.value);
    calls++;
    if (answer === undefined) return { status: 'not_finite', calls };
    step = loop.next(answer);
  }
  return step.value.every(Number.isFinite)
    ? { status: 'ok', x: step.value, calls }
    : { status: 'not_finite', calls };
}

/** A prefix per row (horizon) as one per element, of as many samples as `count` has room for. */
export function prefixOf({ prefix, prefix_weights }: DenoiseRequest, count: number): Prefix | undefined {
  if (prefix === undefined || prefix_weights === undefined) return undefined;
  const { length } = prefix;
  const width = length / prefix_weights.length;
  return {
    target: Float32Array.from({ length: count }, (_, i) => prefix[i % length]!),
    weights: Float32Array.from(
      { length: count },
      (_, i) => prefix_weights[Math.floor((i % length) / width)]!,
    ),
  };
}

const NONE = new Float32Array(0);

/** A compiled network asked once per call, all candidates and both halves of guidance together. */
export class LoopSession implements NativeSession {
  readonly inputs: NativeSession['inputs'];
  readonly outputs: NativeSession['outputs'];
  readonly arena_bytes: number;

  constructor(
    private readonly network: NativeSession,
    private readonly follow: Follow,
    private readonly schedule: (level: number) => Record<string, Float32Array>,
  ) {
    this.inputs = network.inputs;
    this.outputs = network.outputs;
    this.arena_bytes = network.arena_bytes;
  }

  stages = () => this.network.stages();
  print = () => this.network.print();
  profile = (rounds: number) => this.network.profile(rounds);
  run: NativeSession['run'] = (inputs) => this.network.run(inputs);
  setTable = async (): Promise<never> => {
    throw new TendonError('unsupported', 'a session that is driven call by call follows no table');
  };

  async denoise(request: DenoiseRequest & { readonly steer?: Steer | undefined }): Promise<Denoised> {
    const began = process.hrtime.bigint();
    const { inputs, guidance = 1, cancel, steer } = request;
    const start = numbersOf(request.start);
    const noise = request.noise === undefined ? NONE : numbersOf(request.noise);
    const size = start.length;
    const sample = this.inputs.find((port) => port.stage === 'step')!;
    const groups = sample.shape.reduce((n, d) => n * d, 1) / size;
    const answer = async ({ x, level }: Question): Promise<ArrayLike<number> | undefined> => {
      const given = new Float32Array(groups * size);
      for (let group = 0; group < groups; group++) given.set(x, group * size);
      const result = await this.network.run({ ...inputs, ...this.schedule(level), [sample.name]: given });
      if (result.status !== 'ok') return undefined;
      const f = result.outputs[this.outputs[0]!.name]!;
      if (groups === 1) return f;
      return f.subarray(0, size).map((v, i) => f[size + i]! + guidance * (v - f[size + i]!));
    };
    const ask: Ask = async (question) => {
      const f = await answer(question);
      return f === undefined || steer === undefined ? f : steer(question, f);
    };
    const draws = Array.from({ length: noise.length / size }, (_, i) =>
      noise.subarray(i * size, (i + 1) * size),
    );
    const end = await runLoop(this.follow(start, draws, prefixOf(request, size)), ask, cancel);
    return {
      x: end.status === 'ok' ? Float32Array.from(end.x) : new Float32Array(size),
      status: end.status,
      observe_ns: 0,
      denoise_ns: Number(process.hrtime.bigint() - began),
      calls: end.calls,
    };
  }
}
