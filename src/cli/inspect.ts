// `tendon inspect DIR`: what the compiler made of a checkpoint.

import { loadPolicy } from '../policies/index.js';
import { TendonError } from '../types/index.js';
import { type Command, loadOptions, POLICY_OPTIONS } from './command.js';

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
  memory        ${(report.packed_bytes / 1e6).toFixed(1)} MB packed weights, ${(session.arena_bytes / 1e6).toFixed(2)} MB arena\n`);
    const stages = session.stages();
    const total = stages.reduce((n, s) => n + s.flops * (s.name === 'step' ? choice.steps : 1), 0);
    say(
      '  stage         runs                instr  products      MFLOP   weights MB   share of an inference',
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
      say(
        `  ${s.name.padEnd(13)} ${(runs[s.name] ?? '').padEnd(19)} ${String(s.instructions).padStart(5)} ${String(s.matrix_products).padStart(9)} ${(s.flops / 1e6).toFixed(3).padStart(10)} ${(s.weight_bytes / 1e6).toFixed(2).padStart(12)}   ${share}`,
      );
    }
    if (values.instructions === true) say(`\n${session.print()}`);
    if (values.graph === true) say(`\n${graph.print()}`);
    policy.close();
    return 0;
  },
};
