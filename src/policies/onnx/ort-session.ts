// A denoiser that the core cannot compile, run whole on onnxruntime-node: the sampler is followed in TypeScript, the
// network asked afresh at every call, one candidate after the other.

import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { type DenoiseRequest, type NativeSession, numbersOf, type Port } from '../../native/index.js';
import type { Follow } from '../../samplers/index.js';
import { packageWhenNeeded, TendonError } from '../../types/index.js';
import type { OnnxPort } from '../../weights/index.js';
import { type Ask, type Denoised, prefixOf, runLoop } from '../loop-session.js';

const onnxruntime = packageWhenNeeded<typeof import('onnxruntime-node')>('onnxruntime-node');

export interface OrtPorts {
  readonly sample: Port;
  readonly level: Port | undefined;
  readonly conditions: readonly Port[];
  readonly output: string;
}

/** How numbers of ours are handed to an input of each type. */
const TENSORS: Readonly<Record<string, (values: Float32Array, dims: readonly number[]) => Tensor>> = {
  F32: (values, dims) => new (onnxruntime().Tensor)('float32', values, [...dims]),
  F64: (values, dims) => new (onnxruntime().Tensor)('float64', Float64Array.from(values), [...dims]),
  I32: (values, dims) => new (onnxruntime().Tensor)('int32', Int32Array.from(values), [...dims]),
  I64: (values, dims) => new (onnxruntime().Tensor)('int64', BigInt64Array.from(values, BigInt), [...dims]),
};

export class OrtSession implements NativeSession {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly arena_bytes = 0;

  private constructor(
    private readonly session: InferenceSession,
    private readonly ports: OrtPorts,
    private readonly tensors: Readonly<Record<string, (values: Float32Array) => Tensor>>,
    private readonly follow: Follow,
    private readonly batch: number,
  ) {
    this.inputs = [ports.sample, ...(ports.level === undefined ? [] : [ports.level]), ...ports.conditions];
    this.outputs = [{ ...ports.sample, name: ports.output }];
  }

  static async open(
    { path, inputs }: { readonly path: string; readonly inputs: readonly OnnxPort[] },
    ports: OrtPorts,
    follow: Follow,
    batch: number,
    threads: number,
  ): Promise<OrtSession> {
    const named = [ports.sample, ...(ports.level === undefined ? [] : [ports.level]), ...ports.conditions];
    const tensors = named.map(({ name, shape }) => {
      const { dtype = 'F32', dims } = inputs.find((port) => port.name === name)!;
      // Only a level may be of whole numbers.
      const types = Object.keys(TENSORS).filter((type) => name === ports.level?.name || type.startsWith('F'));
      if (!types.includes(dtype))
        throw new TendonError(
          'unsupported',
          `${path}: input "${name}" takes ${dtype}; what it can be given is ${types.join(', ')}`,
          { name, dtype },
        );
      const make = TENSORS[dtype]!;
      return [name, (values: Float32Array) => make(values, dims.length === 0 ? [] : shape)] as const;
    });
    const session = await onnxruntime()
      .InferenceSession.create(path, { intraOpNumThreads: threads, interOpNumThreads: 1 })
      .catch((cause: unknown) => {
        throw new TendonError(
          'unsupported',
          `${path}: onnxruntime-node cannot run it either: ${String(cause)}`,
          { path },
          { cause },
        );
      });
    return new OrtSession(session, ports, Object.fromEntries(tensors), follow, batch);
  }

  stages = () => [];
  print = () => 'runs whole on onnxruntime-node\n';
  profile = async () => [];
  /** The sampler came with the session. */
  setTable = async () => undefined;
  run = async (): Promise<never> => {
    throw new TendonError('unsupported', 'a foreign session only denoises');
  };

  async denoise(request: DenoiseRequest): Promise<Denoised> {
    const began = process.hrtime.bigint();
    const { sample, level, conditions, output } = this.ports;
    const size = sample.shape.reduce((a, b) => a * b, 1);
    const x = new Float32Array(this.batch * size);
    const given = Object.fromEntries(
      conditions.map(({ name }) => {
        const values = request.inputs[name];
        if (!(values instanceof Float32Array))
          throw new TendonError(
            'unsupported',
            `${name}: a network run by onnxruntime-node takes numbers, no frames`,
          );
        return [name, this.tensors[name]!(values)];
      }),
    );
    const ask: Ask = async (question) => {
      const feeds = {
        ...given,
        [sample.name]: this.tensors[sample.name]!(Float32Array.from(question.x)),
        ...(level === undefined
          ? {}
          : { [level.name]: this.tensors[level.name]!(Float32Array.of(question.level)) }),
      };
      const answer = (await this.session.run(feeds))[output]!.data as Float32Array;
      return answer.every(Number.isFinite) ? answer : undefined;
    };
    const start = numbersOf(request.start);
    const added = request.noise === undefined ? undefined : numbersOf(request.noise);
    const draws = (added?.length ?? 0) / x.length;
    let status: Denoised['status'] = 'ok';
    let calls = 0;
    for (let candidate = 0; candidate < this.batch && status === 'ok'; candidate++) {
      const own = (all: Float32Array, draw = 0): Float32Array => {
        const from = (draw * this.batch + candidate) * size;
        return all.subarray(from, from + size);
      };
      const noise = Array.from({ length: draws }, (_, i) => own(added!, i));
      const loop = this.follow(own(start), noise, prefixOf(request, size));
      const end = await runLoop(loop, ask, request.cancel);
      status = end.status;
      calls += end.calls;
      if (end.status === 'ok') x.set(end.x, candidate * size);
    }
    return {
      x,
      status,
      observe_ns: 0,
      denoise_ns: Number(process.hrtime.bigint() - began),
      calls,
    };
  }
}
