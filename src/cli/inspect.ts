// `tendon inspect DIR`: what the compiler made of a checkpoint.

import { inspectPolicy } from '../inspect/inspect.js';
import { type Command, loadOptions, POLICY_OPTIONS } from './command.js';
import { graphAndInstructions, inspected } from './inspect-text.js';
import { waiting } from './progress.js';

export const inspect: Command = {
  summary: 'parameters, stages and instructions of a checkpoint',
  usage: 'tendon inspect DIR [--instructions] [--graph] [--json]',
  examples: [
    'tendon inspect models/arm',
    'tendon inspect models/arm --instructions',
    'tendon inspect models/arm --json | jq .parameters',
  ],
  takes: 'policy',
  json: true,
  options: {
    instructions: { type: 'boolean', default: false, help: 'every instruction of every stage' },
    graph: { type: 'boolean', default: false, help: 'the network as described, before compiling' },
    ...POLICY_OPTIONS,
  },
  async run(values, { text, say }) {
    const dir = text('policy');
    const done = waiting(`compiling and timing ${dir}`);
    const report = await inspectPolicy(dir, loadOptions(values)).finally(done);
    if (values.json === true) {
      const { instructions, graph, ...rest } = report;
      const more = {
        ...(values.instructions === true ? { instructions } : {}),
        ...(values.graph === true ? { graph } : {}),
      };
      say(JSON.stringify({ ...rest, ...more }, undefined, 1));
      return 0;
    }
    say(inspected(report));
    const more = graphAndInstructions(report, values.instructions === true, values.graph === true);
    if (more !== '') say(more);
    return 0;
  },
};
