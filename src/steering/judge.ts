// A network that judges, compiled once and asked with any number of rows together.

import { addon, type NativeModel, type NativePool, type NativeSession, native } from '../native/index.js';
import type { RowNetwork } from '../parts/index.js';
import { TendonError } from '../types/index.js';
import type { JudgeGraph } from './judge-files.js';

/** Sessions of other numbers of rows that are kept; candidates, and what guardians try, are few numbers. */
const KEPT = 8;

export class Judge implements RowNetwork {
  readonly inputs: Readonly<Record<string, number>>;
  readonly width: number;
  private readonly sessions = new Map<number, Promise<NativeSession>>();

  private constructor(
    private readonly model: NativeModel,
    first: NativeSession,
    private readonly name: string,
    readonly chunk_limit: number | undefined,
  ) {
    const size = (shape: readonly number[]): number => shape.slice(1).reduce((a, b) => a * b, 1);
    this.inputs = Object.fromEntries(first.inputs.map((port) => [port.name, size(port.shape)]));
    this.width = size(first.outputs[0]!.shape);
    this.sessions.set(1, Promise.resolve(first));
  }

  /** `name` is for messages. */
  static async open({ graph, chunk_limit }: JudgeGraph, pool: NativePool, name: string): Promise<Judge> {
    const model = await native(() => addon().compileModel(graph.native, { precision: 'f32', pool }));
    return new Judge(model, await native(() => model.openSession({ batch: 1 })), name, chunk_limit);
  }

  async run(inputs: Readonly<Record<string, Float32Array>>, rows: number): Promise<Float32Array> {
    const session = await this.session(rows);
    const { outputs, status } = await native(() => session.run(inputs));
    if (status !== 'ok') throw new TendonError('policy_failed', `${this.name}: its answer is not finite`);
    return outputs[session.outputs[0]!.name]!;
  }

  private session(rows: number): Promise<NativeSession> {
    let session = this.sessions.get(rows);
    if (session === undefined) {
      session = native(() => this.model.openSession({ batch: rows }));
      this.sessions.set(rows, session);
      session.catch(() => this.sessions.delete(rows));
      if (this.sessions.size > KEPT) this.sessions.delete(this.sessions.keys().next().value!);
    }
    return session;
  }
}
