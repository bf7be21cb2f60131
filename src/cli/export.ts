// `tendon export`: recordings into a LeRobotDataset, for the training that comes after.

import { exportDataset, type Hindsight, SELECTIONS, type Selection } from '../record/index.js';
import { TendonError } from '../types/index.js';
import type { Command } from './command.js';
import { counter } from './progress.js';

export const exportCommand: Command = {
  summary: 'write what was driven in recordings as a LeRobotDataset v3.0',
  usage: 'tendon export FILE.mcap … --out DIR [--only all|successes|interventions]',
  examples: ['tendon export session.mcap --out datasets/mine --only successes'],
  takes: { least: 1, most: Number.POSITIVE_INFINITY, what: 'recordings, such as session.mcap' },
  options: {
    out: { type: 'string', help: 'new folder of the data set' },
    only: {
      type: 'string',
      default: 'all',
      help: 'all that was driven, episodes that succeeded, or what a person drove',
    },
    fps: { type: 'string', help: 'frames per second; default: the policy’s rate' },
    task: { type: 'string', help: 'task in words, as the data set tells it; default: the robot’s name' },
    hindsight: {
      type: 'string',
      help: 'GOAL=FEATURE[a:b]: the goal becomes what FEATURE’s values a to b were at the end',
    },
  },
  async run(values, { positionals, integer, text, say }) {
    const only = text('only') as Selection;
    if (!SELECTIONS.includes(only))
      throw new TendonError('config_invalid', `--only: expected ${SELECTIONS.join(', ')}, got "${only}"`);
    const progress = counter(undefined);
    const report = await exportDataset(positionals, {
      dir: text('out'),
      selection: only,
      fps: values.fps === undefined ? undefined : integer('fps', 1, 1000),
      task: values.task === undefined ? undefined : text('task'),
      hindsight: values.hindsight === undefined ? undefined : hindsightOf(text('hindsight')),
      onProgress: (frames) => frames % 100 === 0 && progress.at(frames, `${frames} frames`),
    });
    progress.end();
    say(
      `  ${text('out')}: ${report.episodes} episodes, ${report.frames} frames at ${report.fps} Hz (LeRobotDataset v3.0)`,
    );
    if (report.dropped > 0) say(`  ${report.dropped} stretches of less than two frames were left out`);
    if (report.cameras_left_out.length > 0)
      say(`  without ${report.cameras_left_out.join(', ')}: there is no ffmpeg to make video with`);
    return 0;
  },
};

function hindsightOf(text: string): Hindsight {
  const [, goal, feature, from, to] = /^([\w.]+)=([\w.]+)\[(\d+):(\d+)\]$/.exec(text) ?? [];
  if (goal === undefined || feature === undefined || Number(from) >= Number(to))
    throw new TendonError(
      'config_invalid',
      `--hindsight: expected GOAL=FEATURE[a:b] such as observation.goal=observation.state[0:7], got "${text}"`,
    );
  return { goal, feature, from: Number(from), to: Number(to) };
}
