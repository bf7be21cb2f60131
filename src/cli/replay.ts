// `tendon replay`: a recording through the controller again, every command held against the recorded one.

import { existsSync } from 'node:fs';
import { inNouns, withOptions } from '../policies/index.js';
import { Recording, replay } from '../record/index.js';
import { loadSteered } from '../steering/index.js';
import { TendonError } from '../types/index.js';
import { type Command, loadOptions, PARTS_OPTION, POLICY_OPTIONS, partsOf } from './command.js';
import { counter } from './progress.js';

export const replayCommand: Command = {
  summary: 'play a recording to the controller again and compare every command, bit for bit',
  usage: 'tendon replay FILE.mcap [--policy DIR | --recorded-chunks] [--isa reference]',
  examples: ['tendon replay session.mcap', 'tendon replay session.mcap --recorded-chunks'],
  takes: { least: 1, most: 1, what: 'one recording, such as session.mcap' },
  options: {
    policy: { type: 'string', help: 'checkpoint folder that answers; default: the recorded one' },
    'recorded-chunks': {
      type: 'boolean',
      default: false,
      help: 'the recorded chunks answer: checks the controller alone, without the checkpoint',
    },
    isa: { type: 'string', help: 'instruction set; default: that of the recording' },
    ...PARTS_OPTION,
    ...POLICY_OPTIONS,
  },
  async run(values, { positionals, text, say }) {
    const [file = ''] = positionals;
    const { header } = await Recording.open(file);
    const dir = values.policy === undefined ? header.policy.dir : text('policy');
    if (values['recorded-chunks'] !== true && !existsSync(dir))
      throw new TendonError(
        'file_missing',
        `${file} was recorded with the policy in ${dir}, which is not here: name it by --policy, or check the controller alone with --recorded-chunks`,
      );
    const policy =
      values['recorded-chunks'] === true
        ? undefined
        : await loadSteered(
            dir,
            withOptions(withOptions(inNouns(header.load), loadOptions(values)), {
              compute: { isa: values.isa === undefined ? header.isa : text('isa') },
            }),
            { parts: partsOf(values) ?? header.parts },
          );
    const progress = counter(undefined);
    const report = await replay(file, {
      policy,
      // Who asks for another sampler gets it.
      as_recorded:
        values.policy === undefined && Object.keys(POLICY_OPTIONS).every((o) => values[o] === undefined),
      onProgress: (seconds) => progress.at(seconds, `${seconds.toFixed(0)} s replayed`),
    });
    progress.end();
    policy?.close();
    const { commands, identical_commands, chunks, identical_chunks } = report;
    say(`  ${file}: ${report.seconds.toFixed(1)} s on ${header.robot}, recorded ${header.started}`);
    say(`  commands  ${identical_commands} of ${commands} identical${off(report.command_error)}`);
    if (policy !== undefined)
      say(`  chunks    ${identical_chunks} of ${chunks} identical${off(report.chunk_error)}`);
    if (report.first !== undefined)
      say(`  first difference at ${report.first.at_s.toFixed(3)} s: ${report.first.what}`);
    if (report.ended !== undefined) say(`  ${report.ended}`);
    return report.first === undefined ? 0 : 1;
  },
};

const off = (error: number): string => (error === 0 ? '' : `, at most ${error.toPrecision(3)} off`);
