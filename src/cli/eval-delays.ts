// `tendon eval --delays …`: success and smoothness of every way to join chunks under every inference delay, one table.

import { runDelayed } from '../eval/delayed.js';
import { wilson } from '../eval/wilson.js';
import { type LoadOptions, loadPolicy } from '../policies/index.js';
import { findTask } from '../sim/tasks.js';
import { type ChunkMode, TendonError } from '../types/index.js';

const MODES: Readonly<Record<string, ChunkMode>> = {
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
  readonly seeds: readonly number[];
  /** Comma-separated, as given. */
  readonly delays: string;
  readonly modes: string;
  readonly say: (line: string) => void;
}

/** Throws `config_invalid` for a delay or a mode that is none. */
export async function evalDelays({ say, seeds, ...options }: DelaysOptions): Promise<void> {
  const delays = options.delays.split(',').map((part) => {
    const ms = Number(part);
    if (part.trim() === '' || !(ms >= 0 && ms <= 10_000))
      throw new TendonError('config_invalid', `--delays: expected 0 to 10000 ms each, got "${part}"`);
    return ms;
  });
  const modes = options.modes.split(',').map((name): [string, ChunkMode] => {
    const mode = Object.hasOwn(MODES, name) ? MODES[name] : undefined;
    if (mode === undefined)
      throw new TendonError(
        'config_invalid',
        `--modes: expected any of ${Object.keys(MODES).join(', ')}, got "${name}"`,
      );
    return [name, mode];
  });
  const task = findTask(options.task);
  const [policy, env] = await Promise.all([loadPolicy(options.policy, options.load), task.create()]);
  const row_ms = 1000 / task.spec.rate_hz;
  say(
    `  ${options.task}: ${seeds.length} episodes each; delays in whole rows of ${row_ms.toFixed(0)} ms, rounded up`,
  );
  say('  mode              delay ms   success   95 % interval   max jump   rms jerk /s³');
  for (const [name, mode] of modes)
    for (const delay of delays) {
      let successes = 0;
      let jump = 0;
      let jerk = 0;
      for (const seed of seeds) {
        const record = await runDelayed(policy, task, env, seed, mode, Math.ceil(delay / row_ms));
        successes += Number(record.success);
        jump = Math.max(jump, record.max_jump);
        jerk += record.jerk / seeds.length;
      }
      const [low, high] = wilson(successes, seeds.length).map((x) => (100 * x).toFixed(0));
      const rate = `${((100 * successes) / seeds.length).toFixed(1)} %`;
      say(
        `  ${name.padEnd(18)}${String(delay).padStart(8)}${rate.padStart(10)}${`${low}–${high} %`.padStart(16)}${jump.toFixed(3).padStart(11)}${jerk.toFixed(0).padStart(15)}`,
      );
    }
}
