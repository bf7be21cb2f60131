// `tendon inspect DIR`: what the compiler made of a checkpoint.

import { loadPolicy, PlanningPolicy } from '../policies/index.js';
import { TendonError } from '../types/index.js';
import { Limits } from './bench/limits.js';
import { type Command, describePool, loadOptions, POLICY_OPTIONS } from './command.js';
import { sayWorld } from './inspect-world.js';

/** Runs of every stage that are timed. */
const PROFILE_ROUNDS = 15;

export const inspect: Command = {
  summary: 'parameters, stages and instructions of a checkpoint',
  usage: 'tendon inspect DIR [--instructions] [--graph]',
  options: {
    instructions: { type: 'boolean', default: false, help: 'every instruction of every stage' },
    graph: { type: 'boolean', default: false, help: 'the network as described, before compiling' },
    ...POLICY_OPTIONS,
  },
  async run(values, { say, positionals }) {
    const dir = positionals[0];
    if (dir === undefined)
      throw new TendonError(
        'config_invalid',
        'inspect: expected a checkpoint folder, e.g. tendon inspect models/arm',
      );
    const policy = await loadPolicy(dir, loadOptions(values));
    const { report, session, graph } = await policy.describe();
    const { spec, choice } = policy;
    say(`${dir}: ${spec.family}, ${(report.parameters / 1e6).toFixed(2)} M parameters
  observations  ${Object.entries(spec.observation_dims)
    .map(([k, n]) => `${k} (${n})`)
    .join(', ')}
  actions       ${spec.horizon} × ${spec.action_dim}, ${spec.n_action_steps} executed${spec.rate_hz === undefined ? '' : `, ${spec.rate_hz} Hz`}
  sampler       ${choice.sampler}, ${choice.steps} steps, ${choice.candidates} candidate(s)
  kernels       ${report.isa}, ${report.precision}${report.precision_error > 0 ? ` (auto: error ${report.precision_error.toExponential(1)} of the largest output on probe inputs)` : ''}
  threads       ${describePool(policy.pool)}
  memory        ${(report.packed_bytes / 1e6).toFixed(1)} MB packed weights, ${(session.arena_bytes / 1e6).toFixed(2)} MB arena\n`);
    const limits = await Limits.measure(policy.pool);
    const measured = await session.profile(PROFILE_ROUNDS);
    const stages = session.stages();
    const total = stages.reduce((n, s) => n + s.flops * (s.name === 'step' ? choice.steps : 1), 0);
    say(
      '  stage         runs                instr  products      MFLOP   weights MB    share   at best µs   measured µs',
    );
    const runs: Record<string, string> = {
      schedule: 'once per sampler',
      observation: 'once per inference',
      prepared: 'once per inference',
      step: 'once per call',
    };
    for (const s of stages) {
      const flops = s.flops * (s.name === 'step' ? choice.steps : 1);
      const share = s.name === 'schedule' ? '' : `${((100 * flops) / total).toFixed(1)} %`;
      const least_us = 1e3 * (await limits.least_ms(report.precision, s.flops, s.weight_bytes, 1));
      const own = measured.filter((m) => m.stage === s.name);
      const took_us = own.reduce((n, m) => n + m.ns, 0) / 1e3;
      say(
        `  ${s.name.padEnd(13)} ${(runs[s.name] ?? '').padEnd(19)} ${String(s.instructions).padStart(5)} ${String(s.matrix_products).padStart(9)} ${(s.flops / 1e6).toFixed(3).padStart(10)} ${(s.weight_bytes / 1e6).toFixed(2).padStart(12)} ${share.padStart(8)} ${least_us.toFixed(1).padStart(12)} ${took_us.toFixed(1).padStart(13)}`,
      );
    }
    if (policy instanceof PlanningPolicy)
      await sayWorld(policy, report.precision, limits, PROFILE_ROUNDS, values.instructions === true, say);
    say(
      '\n  at best: what the machine’s arithmetic or reading of the weights, measured just now, allows; measured: each\n  instruction timed by itself, the median of several runs',
    );
    if (values.instructions === true) {
      say('\n  stage            µs      MFLOP   instruction');
      for (const m of measured)
        say(
          `  ${m.stage.padEnd(11)} ${(m.ns / 1e3).toFixed(2).padStart(7)} ${(m.flops / 1e6).toFixed(3).padStart(10)}   ${m.label}`,
        );
    }
    if (values.graph === true) say(`\n${graph.print()}`);
    policy.close();
    return 0;
  },
};
