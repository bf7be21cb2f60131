// `tendon eval`: how often a checkpoint succeeds on a simulated task, over all cores.

import { writeFileSync } from 'node:fs';
import { evaluatePolicy } from '../eval/evaluate.js';
import { htmlReport } from '../eval/report.js';
import { range, seedsOf } from '../eval/seeds.js';
import { addon } from '../native/index.js';
import { modelFolder } from '../session/drivers.js';
import { type Command, loadOptions, PARTS_OPTION, POLICY_OPTIONS, partsOf } from './command.js';
import { evaluated, sayDelays } from './eval-text.js';
import { decimal } from './numbers.js';
import { counter } from './progress.js';

export const evaluate: Command = {
  summary: 'success rate of a policy on a simulated task, with interval, modes and latency',
  usage: 'tendon eval [DIR] [--task arm] [--episodes 200 | --seeds 0..199] [--json FILE] [--html FILE]',
  examples: [
    'tendon eval --task arm',
    'tendon eval models/mine --task pusht --episodes 50',
    'tendon eval physics:arm --episodes 20',
    'tendon eval --task arm --delays 0,100,200 --modes receding,rtc --episodes 20',
  ],
  takes: 'policy',
  options: {
    task: { type: 'string', default: 'arm', help: 'simulated task: arm, block-push, maze, pusht' },
    policy: {
      type: 'string',
      help: 'checkpoint folder, hf:OWNER/NAME@REVISION, or physics:TASK to plan over the simulation; default models/TASK',
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
    disturb: { type: 'string', help: 'what the policy sees is changed: hide-goal, move-post (arm)' },
    workers: { type: 'string', help: 'processes at once; default: one for each core this process may use' },
    json: { type: 'string', help: 'write every episode to this file' },
    html: { type: 'string', help: 'write a report with plots to this file' },
    ...PARTS_OPTION,
    ...POLICY_OPTIONS,
  },
  async run(values, { integer, text, say }) {
    const task = text('task');
    const seeds =
      values.seeds === undefined ? range(0, integer('episodes', 1, 1e6) - 1) : seedsOf(text('seeds'));
    const policy = values.policy === undefined ? modelFolder(task) : text('policy');
    const load = loadOptions(values);
    const parts = partsOf(values);
    if (values.delays !== undefined) {
      const delays_ms = text('delays')
        .split(',')
        .map((part) => decimal('--delays', part.trim(), 0, 10_000));
      await sayDelays({ task, policy, load, parts, seeds, delays_ms, modes: text('modes').split(',') }, say);
      return 0;
    }
    const workers = values.workers === undefined ? addon().threadCount() : integer('workers', 1, 64);
    const began = performance.now();
    const progress = counter(seeds.length);
    const result = await evaluatePolicy({
      task,
      policy,
      seeds,
      load,
      parts,
      disturb: values.disturb === undefined ? undefined : text('disturb'),
      ...(values.execute === undefined ? {} : { execute: integer('execute', 1, 1024) }),
      workers,
      onProgress: (done, successes) => progress.at(done, `${done}/${seeds.length}  ${successes} successes`),
    }).finally(() => progress.end());
    const note = `seeds ${seeds[0]}..${seeds.at(-1)}, ${JSON.stringify(load)}`;
    say(evaluated(task, result, `one thread, ${workers} workers`));
    say(`  took         ${((performance.now() - began) / 1000).toFixed(1)} s`);
    if (values.json !== undefined) writeFileSync(text('json'), `${JSON.stringify(result, null, 1)}\n`);
    if (values.html !== undefined) writeFileSync(text('html'), htmlReport(result, note));
    return 0;
  },
};
