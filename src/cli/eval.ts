// `tendon eval`: how often a checkpoint succeeds on a simulated task, over all cores.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { evaluatePolicy } from '../eval/evaluate.js';
import { htmlReport } from '../eval/report.js';
import { PACKAGE_ROOT } from '../session/sim-session.js';
import { TendonError } from '../types/index.js';
import { type Command, loadOptions, POLICY_OPTIONS } from './command.js';
import { evalDelays } from './eval-delays.js';

export const evaluate: Command = {
  summary: 'success rate of a policy on a simulated task, with interval, modes and latency',
  usage:
    'tendon eval --task arm [--policy DIR] [--episodes 200 | --seeds 0..199] [--json FILE] [--html FILE]',
  options: {
    task: { type: 'string', default: 'arm', help: 'simulated task: arm, block-push, pusht' },
    policy: {
      type: 'string',
      help: 'checkpoint folder, or physics:TASK to plan over the simulation; default models/TASK',
    },
    episodes: { type: 'string', default: '200', help: 'seeds from 0 on' },
    seeds: { type: 'string', help: 'A..B, both included; instead of --episodes' },
    execute: { type: 'string', help: 'rows of a chunk to execute; default: the checkpoint’s n_action_steps' },
    delays: { type: 'string', help: 'inference delays in ms, e.g. 0,50,100,200,300: prints a table instead' },
    modes: {
      type: 'string',
      default: 'receding,async,async-average,async-conservative,ensemble,bid,rtc,rtc-16,rtc-lerobot',
      help: 'ways to join chunks, with --delays',
    },
    workers: { type: 'string', default: String(cpus().length), help: 'processes at once' },
    json: { type: 'string', help: 'write every episode to this file' },
    html: { type: 'string', help: 'write a report with plots to this file' },
    ...POLICY_OPTIONS,
  },
  async run(values, { integer, text, say }) {
    const task = text('task');
    const seeds =
      values.seeds === undefined ? range(0, integer('episodes', 1, 1e6) - 1) : parseSeeds(text('seeds'));
    const policy = values.policy === undefined ? join(PACKAGE_ROOT, 'models', task) : text('policy');
    if (values.delays !== undefined) {
      const load = loadOptions(values);
      await evalDelays({ task, policy, load, seeds, delays: text('delays'), modes: text('modes'), say });
      return 0;
    }
    const began = performance.now();
    const live = process.stdout.isTTY;
    const result = await evaluatePolicy({
      task,
      policy,
      seeds,
      load: loadOptions(values),
      ...(values.execute === undefined ? {} : { execute: integer('execute', 1, 1024) }),
      workers: integer('workers', 1, 64),
      onProgress(done, successes) {
        const bar = '█'.repeat(Math.round((30 * done) / seeds.length)).padEnd(30, '░');
        if (live) process.stdout.write(`\r  ${bar} ${done}/${seeds.length}  ${successes} successes `);
        else if (done % 50 === 0) say(`  ${done}/${seeds.length}  ${successes} successes`);
      },
    });
    if (live) process.stdout.write('\r\x1b[K');
    const [low, high] = result.interval;
    const note = `seeds ${seeds[0]}..${seeds.at(-1)}, ${JSON.stringify(loadOptions(values))}`;
    say(`  ${task}: ${result.successes}/${result.episodes} = ${(100 * result.success_rate).toFixed(1)} %   95 % interval ${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)} %
  episode      ${result.mean_steps.toFixed(1)} steps on average
  modes        ${Object.entries(result.modes)
    .map(([k, v]) => `${k} ${v}`)
    .join(', ')}
  chunk jumps  median ${result.boundary_jump.median.toFixed(4)}, worst ${result.boundary_jump.worst.toFixed(4)}
  inference    p50 ${result.infer_ms.p50.toFixed(2)} ms, p99 ${result.infer_ms.p99.toFixed(2)} ms (one thread, ${values.workers} workers)
  took         ${((performance.now() - began) / 1000).toFixed(1)} s`);
    if (values.json !== undefined) writeFileSync(text('json'), `${JSON.stringify(result, null, 1)}\n`);
    if (values.html !== undefined) writeFileSync(text('html'), htmlReport(result, note));
    return 0;
  },
};

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

function parseSeeds(text: string): number[] {
  const match = /^(\d+)\.\.(\d+)$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || to < from || to - from > 1e6)
    throw new TendonError('config_invalid', `--seeds: expected A..B with A ≤ B, got "${text}"`);
  return range(from, to);
}
