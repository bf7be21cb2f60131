// Where and how a network is computed: the one place that knows these options, for every kind of policy.

import { addon, type NativeModel, type NativePool, native, type Precision } from './addon.js';
import type { GraphBuilder } from './graph.js';

/** Where and how a network is computed. */
export interface ComputeOptions {
  /** Of weights and products. `auto`, the default, compares with f32 at load and picks by hardware. */
  readonly precision?: Precision;
  /** Threads of an own pool; default: the cores that this process may use. */
  readonly threads?: number;
  /** Binds each thread to a core of its own: of these, or of the first that this process may use. */
  readonly pin?: boolean | readonly number[];
  /** A pool that is shared with other policies, instead of an own one. */
  readonly pool?: NativePool;
  /** Highest instruction set to use (`reference`, `avx2`, …); default: the best that this machine has. */
  readonly isa?: string;
  /** `cpu` (default) or `cuda:0`, `cuda:1`, … */
  readonly device?: string;
}

/** The pool that is shared, or one of its own. */
export function poolFor({ pool, threads, pin }: ComputeOptions): NativePool {
  return pool ?? native(() => new (addon().Pool)({ threads, pin }));
}

/** Compiles a graph for a pool and device. Throws `unsupported`, `native_unavailable` or what the compiler finds wrong. */
export function compileGraph(
  graph: GraphBuilder,
  precision: string,
  pool: NativePool,
  { isa, device }: ComputeOptions,
): Promise<NativeModel> {
  return native(() =>
    addon().compileModel(graph.native, {
      precision: precision as Precision,
      pool,
      ...(isa === undefined ? {} : { isa }),
      ...(device === undefined ? {} : { device }),
    }),
  );
}
