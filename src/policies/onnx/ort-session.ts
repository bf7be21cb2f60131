// A denoiser that the core cannot compile, run whole on onnxruntime-node: the same table followed in TypeScript, the
// network asked afresh at every call, one candidate after the other.

import type { InferenceSession } from 'onnxruntime-node';
import type { DenoiseRequest, NativeSession, Port, RunResult } from '../../native/index.js';
import { followTable, type Prefix, type SamplerTable } from '../../samplers/index.js';
import { packageWhenNeeded, TendonError } from '../../types/index.js';

const onnxruntime = packageWhenNeeded<typeof import('onnxruntime-node')>('onnxruntime-node');

export interface OrtPorts {
  readonly sample: Port;
  readonly level: Port | undefined;
  readonly conditions: readonly Port[];
  readonly output: string;
}

export class OrtSession implements NativeSession {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly arena_bytes = 0;

  private constructor(
    private readonly session: InferenceSession,
    private readonly ports: OrtPorts,
    private readonly table: SamplerTable,
    private readonly batch: number,
  ) {
    this.inputs = [ports.sample, ...(ports.level === undefined ? [] : [ports.level]), ...ports.conditions];
    this.outputs = [{ ...ports.sample, name: ports.output }];
  }

  static async open(path: string, ports: OrtPorts, table: SamplerTable, batch: number): Promise<OrtSession> {
    const session = await onnxruntime()
      .InferenceSession.create(path)
      .catch((cause: unknown) => {
        throw new TendonError(
          'unsupported',
          `${path}: onnxruntime-node cannot run it either: ${String(cause)}`,
          { path },
          { cause },
        );
      });
    return new OrtSession(session, ports, table, batch);
  }

  stages = () => [];
  print = () => 'runs whole on onnxruntime-node\n';
  profile = async () => [];
  /** The table came with the session. */
  setTable = async () => undefined;
  run = async (): Promise<never> => {
    throw new TendonError('unsupported', 'a foreign session only denoises');
  };

  async denoise(request: DenoiseRequest): Promise<RunResult & { readonly x: Float32Array }> {
    const began = process.hrtime.bigint();
    const { sample, level, conditions, output } = this.ports;
    const { Tensor } = onnxruntime();
    const size = sample.shape.reduce((a, b) => a * b, 1);
    const x = new Float32Array(this.batch * size);
    const given = Object.fromEntries(
      conditions.map(({ name, shape }) => {
        const values = request.inputs[name];
        if (!(values instanceof Float32Array))
          throw new TendonError(
            'unsupported',
            `${name}: a network run by onnxruntime-node takes numbers, no frames`,
          );
        return [name, new Tensor('float32', values, [...shape])];
      }),
    );
    for (let candidate = 0; candidate < this.batch; candidate++) {
      const own = (all: Float32Array, draw = 0): Float32Array => {
        const from = (draw * this.batch + candidate) * size;
        return all.subarray(from, from + size);
      };
      const noise = Array.from({ length: this.table.noise_draws }, (_, i) => own(request.noise!, i));
      const loop = followTable(this.table, own(request.start), noise, prefixOf(request));
      let step = loop.next();
      while (step.done !== true) {
        const feeds = {
          ...given,
          [sample.name]: new Tensor('float32', Float32Array.from(step.value.x), [...sample.shape]),
          ...(level === undefined
            ? {}
            : { [level.name]: new Tensor('float32', Float32Array.of(step.value.level), [...level.shape]) }),
        };
        const answer = (await this.session.run(feeds))[output]!;
        step = loop.next(answer.data as Float32Array);
      }
      x.set(step.value, candidate * size);
    }
    const finite = x.every(Number.isFinite);
    return {
      x,
      status: finite ? 'ok' : 'not_finite',
      observe_ns: 0,
      denoise_ns: Number(process.hrtime.bigint() - began),
      calls: this.table.rows.length * this.batch,
    };
  }
}

/** A prefix per row (horizon) as one per element. */
function prefixOf({ prefix, prefix_weights }: DenoiseRequest): Prefix | undefined {
  if (prefix === undefined || prefix_weights === undefined) return undefined;
  const width = prefix.length / prefix_weights.length;
  return { target: prefix, weights: prefix.map((_, i) => prefix_weights[Math.floor(i / width)]!) };
}
