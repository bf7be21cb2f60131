// From what a manifest says a network or a table looks at (`inputs`) to rows of numbers: one of each candidate, or one where
// nothing of a chunk is among them.

import * as z from 'zod';
import { type PolicySpec, TendonError } from '../../types/index.js';
import type { Chunks, Moment } from '../ports.js';

export const InputsEntry = z.lazy(() =>
  z
    .array(
      z
        .string()
        .regex(
          /^(observation|goal|chunk|[\w.]+|(feature|condition):[\w.-]+)$/,
          'observation, an observation key, goal, goal:KEY, chunk, feature:NAME or condition:NAME',
        ),
    )
    .min(1)
    .max(16),
);

/** Which rows of a chunk are looked at: all, those that will be executed, or the first of them. */
export const RowsEntry = z.lazy(() => z.enum(['all', 'executed', 'first']));
export type RowsEntry = z.infer<typeof RowsEntry>;

export class Inputs {
  /** Whether a chunk is among them. */
  readonly ranks: boolean;

  constructor(
    private readonly names: readonly string[],
    private readonly rows: RowsEntry,
    private readonly spec: PolicySpec,
    private readonly where: string,
  ) {
    this.ranks = names.includes('chunk') || names.some((name) => name.startsWith('feature:'));
    for (const name of names) this.known(name);
  }

  /** Each input of each candidate: (n, width), or (1, width) where nothing depends on the candidate. */
  gather(
    chunks: Chunks,
    moment: Moment,
    limit = Number.POSITIVE_INFINITY,
  ): { readonly values: Float32Array; readonly n: number; readonly width: number } {
    const parts = this.names.map((name) => {
      const rows = this.read(name, chunks, moment);
      const bounded = name === 'chunk' && Number.isFinite(limit);
      return bounded
        ? rows.map((row) => Float32Array.from(row, (v) => Math.min(Math.max(v, -limit), limit)))
        : rows;
    });
    const n = Math.max(...parts.map((part) => part.length));
    const width = parts.reduce((sum, part) => sum + part[0]!.length, 0);
    const values = new Float32Array(n * width);
    for (let i = 0; i < n; i++) {
      let at = i * width;
      for (const part of parts) {
        const row = part.length === 1 ? part[0]! : part[i]!;
        values.set(row, at);
        at += row.length;
      }
    }
    return { values, n, width };
  }

  private read(name: string, chunks: Chunks, moment: Moment): readonly ArrayLike<number>[] {
    if (name === 'chunk') return executed(chunks, this.rows);
    if (name.startsWith('feature:')) {
      const rows = moment.features[name.slice(8)];
      if (rows !== undefined && rows.length > 0) return rows;
      throw this.missing(
        name,
        Object.keys(moment.features).map((key) => `feature:${key}`),
      );
    }
    if (name.startsWith('condition:')) {
      const value = moment.conditions[name.slice(10)];
      if (value !== undefined) return [[value]];
      throw this.missing(
        name,
        Object.keys(moment.conditions).map((key) => `condition:${key}`),
      );
    }
    if (name === 'observation')
      return [Object.keys(this.spec.observation_dims).flatMap((key) => [...moment.newest.values[key]!])];
    if (name === 'goal') {
      if (moment.goal === undefined) throw this.missing(name, ['none was set']);
      return [Object.keys(this.spec.goal_dims).flatMap((key) => [...moment.goal![key]!])];
    }
    const values = moment.newest.values[name] ?? moment.goal?.[name];
    if (values === undefined) throw this.missing(name, Object.keys(moment.newest.values));
    return [values];
  }

  private known(name: string): void {
    const { observation_dims, goal_dims } = this.spec;
    const plain = name === 'observation' || name === 'goal' || name === 'chunk' || name.includes(':');
    if (plain || Object.hasOwn(observation_dims, name) || Object.hasOwn(goal_dims, name)) return;
    throw new TendonError(
      'config_invalid',
      `${this.where}.inputs: this policy has no "${name}"; expected observation, chunk, goal, feature:NAME, condition:NAME, or one of ${[...Object.keys(observation_dims), ...Object.keys(goal_dims)].join(', ')}`,
      { name },
    );
  }

  private missing(name: string, there: readonly string[]): TendonError {
    return new TendonError(
      'input_invalid',
      `${this.where}: ${name} is not there (${there.join(', ') || 'nothing is'})`,
      {
        name,
      },
    );
  }
}

/** The rows of each candidate that are looked at, flat. As many whatever is committed already: they end within the chunk. */
export function executed(chunks: Chunks, which: RowsEntry): Float32Array[] {
  const { values, n, horizon, action_dim, first, last } = chunks;
  const count = which === 'all' ? horizon : which === 'first' ? 1 : last - first;
  const from = which === 'all' ? 0 : first;
  return Array.from({ length: n }, (_, i) => {
    const at = (i * horizon + from) * action_dim;
    return values.subarray(at, at + count * action_dim);
  });
}
