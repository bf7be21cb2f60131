// Success and smoothness of every way to join chunks under every inference delay.

import type { LoadOptions } from '../policies/index.js';
import { findTask } from '../sim/tasks.js';
import { type ChunkMode, TendonError } from '../types/index.js';
import { runDelayed } from './delayed.js';
import { openPolicy } from './open-policy.js';
import { wilson } from './wilson.js';

/** Ways to join chunks, by the names that a command line has for them. */
export const DELAY_MODES: Readonly<Record<string, ChunkMode>> = {
  receding: { mode: 'receding' },
  async: { mode: 'async', aggregate: 'weighted_average' },
  'async-latest': { mode: 'async', aggregate: 'latest_only' },
  'async-average': { mode: 'async', aggregate: 'average' },
  'async-conservative': { mode: 'async', aggregate: 'conservative' },
  ensemble: { mode: 'ensemble', coeff: 0.01 },
  rtc: { mode: 'rtc', schedule: 'zeros', derivative: true },
  'rtc-16': { mode: 'rtc', schedule: 'zeros', derivative: true, candidates: 16 },
  'rtc-lerobot': { mode: 'rtc', schedule: 'exp', derivative: false },
  bid: { mode: 'bid', candidates: 16, decay: 0.5 },
};

export interface DelaysOptions {
  readonly task: string;
  readonly policy: string;
  readonly load: LoadOptions;
  /** Manifest of parts, or false for none. */
  readonly parts?: string | false | undefined;
  readonly seeds: readonly number[];
  readonly delays_ms: readonly number[];
  /** Names of DELAY_MODES. */
  readonly modes: readonly string[];
}

/** Every episode of one way to join under one delay. */
export interface DelayRow {
  readonly mode: string;
  readonly delay_ms: number;
  readonly episodes: number;
  readonly successes: number;
  /** 95 % (Wilson 1927), shares. */
  readonly interval: readonly [number, number];
  /** Furthest that a command went in one row, in the units of actions. */
  readonly max_jump: number;
  /** Root mean square of the third difference, per s³, mean over episodes. */
  readonly jerk: number;
}

/** Rows as they are found; delays are rounded up to whole rows of the task. Throws `config_invalid` for an unknown mode. */
export async function* delayRows({ seeds, ...options }: DelaysOptions): AsyncGenerator<DelayRow> {
  const modes = options.modes.map((name): [string, ChunkMode] => {
    const mode = Object.hasOwn(DELAY_MODES, name) ? DELAY_MODES[name] : undefined;
    if (mode === undefined)
      throw new TendonError(
        'config_invalid',
        `--modes: expected any of ${Object.keys(DELAY_MODES).join(', ')}, got "${name}"`,
      );
    return [name, mode];
  });
  const task = findTask(options.task);
  const env = await task.create();
  const tip = (action: ArrayLike<number>) => env.actionPoint(action);
  const policy = await openPolicy(options.policy, options.load, { parts: options.parts, tip });
  for (const [name, mode] of modes)
    for (const delay_ms of options.delays_ms) {
      let [successes, max_jump, jerk] = [0, 0, 0];
      for (const seed of seeds) {
        const rows = Math.ceil((delay_ms / 1000) * task.spec.rate_hz);
        const record = await runDelayed(policy, task, env, seed, mode, rows);
        successes += Number(record.success);
        max_jump = Math.max(max_jump, record.max_jump);
        jerk += record.jerk / seeds.length;
      }
      const interval = wilson(successes, seeds.length);
      yield { mode: name, delay_ms, episodes: seeds.length, successes, interval, max_jump, jerk };
    }
}
