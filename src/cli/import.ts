// `tendon import FILE OUT`: a training's own checkpoint to a folder that loads without reading pickles again.

import { rmSync } from 'node:fs';
import { readUserText } from '../base/files.js';
import { parseYaml, plainYaml } from '../base/yaml.js';
import { camerasIn } from '../policies/convert/cameras.js';
import { convert, writeCheckpoint } from '../policies/convert/index.js';
import { openFamily } from '../policies/index.js';
import { TendonError } from '../types/index.js';
import type { Command } from './command.js';
import { decimal } from './numbers.js';

export const importCheckpoint: Command = {
  summary: 'a torch checkpoint to a clean folder: config.json and model.safetensors',
  usage: 'tendon import FILE.ckpt OUT [--config FILE] [--cameras top=480x640] [--stats dataset_stats.pkl]',
  examples: [
    'tendon import latest.ckpt models/mine --fps 10',
    'tendon import policy_best.ckpt models/mine --cameras top=480x640 --fps 50',
  ],
  takes: {
    least: 2,
    most: 2,
    what: 'a checkpoint file and a new folder, such as policy_best.ckpt models/mine',
  },
  options: {
    config: {
      type: 'string',
      help: 'JSON or YAML with fields that the file lacks (TD-MPC2, BESO), or that replace its own',
    },
    cameras: {
      type: 'string',
      help: 'original ACT: cameras in the order of training with their sizes, e.g. top=480x640,wrist=480x640',
    },
    stats: { type: 'string', help: 'original ACT: dataset_stats.pkl; default: beside the checkpoint' },
    fps: { type: 'string', help: 'rate of the data it was trained on, in Hz, where the file does not say' },
  },
  async run(values, { say, positionals }) {
    const [file = '', out = ''] = positionals;
    const config = {
      ...(typeof values.config === 'string' ? readFields(values.config) : {}),
      ...(typeof values.fps === 'string' ? { fps: decimal('--fps', values.fps, 0.001, 10_000) } : {}),
    };
    const converted = convert(file, {
      ...(Object.keys(config).length > 0 ? { config } : {}),
      ...(typeof values.cameras === 'string' ? { cameras: camerasIn(values.cameras) } : {}),
      ...(typeof values.stats === 'string' ? { stats: values.stats } : {}),
    });
    writeCheckpoint(out, converted);
    try {
      const { spec } = openFamily(out);
      const dropped = converted.dropped.map(
        ({ why, names }) => `
  not needed when it runs: ${names.length} (${why}), ${names[0]}${names.length > 1 ? ' …' : ''}`,
      );
      say(`${file}: ${converted.found}, ${Object.keys(converted.tensors).length} tensors${dropped.join('')}
  ${out} opens as ${spec.family}: every tensor is used, none is missing
  next: tendon check ${out}`);
    } catch (error) {
      // Half an import would be taken for a checkpoint.
      for (const name of ['config.json', 'model.safetensors']) rmSync(`${out}/${name}`, { force: true });
      throw error;
    }
    return 0;
  },
};

function readFields(path: string): Record<string, unknown> {
  const fields = plainYaml(parseYaml(readUserText(path, 'config'), path));
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
    throw new TendonError('config_invalid', `${path}: expected fields by name`);
  return fields as Record<string, unknown>;
}
