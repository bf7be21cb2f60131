// Where and how a network is computed: the one place that knows these options, for every kind of policy.

import {
  addon,
  type NativeModel,
  type NativePool,
  native,
  type PoolPriority,
  type Precision,
} from './addon.js';
import type { GraphBuilder } from './graph.js';

/** Where and how a network is computed. */
export interface ComputeOptions {
  /** Of weights and products. `auto`, the default, compares with f32 at load and picks by hardware. */
  readonly precision?: Precision;
  /** Threads of an own pool; default: the cores that this process may use. */
  readonly threads?: number;
  /** Binds each thread to a core of its own: of these, or of the first that this process may use. */
  readonly pin?: boolean | readonly number[];
  /** How strongly an own pool's threads ask for a core beside what else runs; what is refused stands in `pool.refused` and is warned of. */
  readonly priority?: PoolPriority;
  /** A pool that is shared with other policies, instead of an own one. */
  readonly pool?: NativePool;
  /** Highest instruction set to use (`reference`, `avx2`, …); default: the best that this machine has. */
  readonly isa?: string;
  /** `cpu` (default) or `cuda:0`, `cuda:1`, … */
  readonly device?: string;
}

/** The pool that is shared, or one of its own. Warns of a priority that the system refuses. */
export function poolFor({ pool, threads, pin, priority }: ComputeOptions): NativePool {
  if (pool !== undefined) return pool;
  const own = native(() => new (addon().Pool)({ threads, pin, priority }));
  if (own.refused !== '') process.emitWarning(`priority: the system refused ${own.refused}`, 'TendonWarning');
  return own;
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
