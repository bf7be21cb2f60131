// `tendon calibrate`: from successful runs to the band beyond which a monitor alarms, with the rates that it can be held to.

import { writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { wilson } from '../eval/wilson.js';
import { MODULATIONS, type Modulation } from '../parts/index.js';
import { calibrate, findManifest, fingerprintOf, monitorOf } from '../steering/index.js';
import { TendonError } from '../types/index.js';
import { type Command, PARTS_OPTION, POLICY_OPTIONS, partsOf } from './command.js';
import { EXPERIENCE_OPTIONS, policyOf, runsOf } from './experience-options.js';
import { decimal } from './numbers.js';

export const calibrateCommand: Command = {
  summary: 'make a monitor’s band from successful runs; print its false alarms and what it detects',
  usage:
    'tendon calibrate RECORDINGS… --policy DIR --monitor NAME [--alpha 0.05] | --task arm --seeds 0..199 --parts FILE --monitor NAME',
  examples: ['tendon calibrate --task arm --seeds 0..199 --parts steering.json --monitor ood'],
  takes: { least: 0, most: 10_000, what: 'recordings, such as session.mcap' },
  options: {
    monitor: { type: 'string', help: 'name of a monitor in the manifest' },
    alpha: { type: 'string', default: '0.05', help: 'share of successful runs that may alarm' },
    modulation: {
      type: 'string',
      default: 'stdev',
      help: 'how the band’s width follows the steps: const, stdev, tfunc',
    },
    out: { type: 'string', help: 'file of the band; default: what the manifest names' },
    disturb: {
      type: 'string',
      help: 'with --task, runs to be detected too: hide-goal, move-post; several with commas',
    },
    'disturb-seeds': { type: 'string', default: '1000..1049', help: 'A..B, of --disturb' },
    ...EXPERIENCE_OPTIONS,
    ...PARTS_OPTION,
    ...POLICY_OPTIONS,
  },
  async run(values, context) {
    const { text, say } = context;
    const dir = policyOf(values);
    const found = findManifest(dir, partsOf(values));
    if (found === undefined)
      throw new TendonError('config_invalid', `${dir} has no manifest of parts; name one with --parts`);
    const monitor = text('monitor');
    const entry = monitorOf(found.manifest, monitor);
    const modulation = text('modulation') as Modulation;
    if (!MODULATIONS.includes(modulation))
      throw new TendonError(
        'config_invalid',
        `--modulation: expected one of ${MODULATIONS.join(', ')}, got "${modulation}"`,
      );
    const options = {
      monitor,
      modulation,
      alpha: decimal('--alpha', text('alpha'), 0.0001, 0.9999),
      fingerprint: fingerprintOf(dir),
    };
    const runs = await runsOf(values, context);
    const result = calibrate(found.manifest, runs, options);
    const named = [values.out ?? entry.band ?? []].flat() as string[];
    const files =
      named.length === result.bands.length
        ? named
        : result.bands.map((band) => `${monitor}.${band.score}.band.json`);
    const at = (file: string): string =>
      isAbsolute(file) || values.out !== undefined ? file : join(found.folder, file);
    result.bands.forEach((band, i) => {
      writeFileSync(at(files[i]!), `${JSON.stringify(band)}\n`);
    });
    const { successes, failures, false_alarms, detected, early } = result;
    say(`  ${monitor}: alpha ${options.alpha}, ${successes} successes, ${failures} failures`);
    say(`  false alarms   ${share(false_alarms, successes)} of successes that the band was made without`);
    say(
      `  detected       ${share(detected, failures)} of failures, ${early} inferences before their end (median)`,
    );
    for (const disturb of typeof values.disturb === 'string' ? values.disturb.split(',') : []) {
      const seeds = text('disturb-seeds');
      const disturbedRuns = await runsOf(values, context, { seeds, disturb });
      const again = calibrate(
        found.manifest,
        [...runs.filter((run) => run.success), ...disturbedRuns.map((run) => ({ ...run, success: false }))],
        options,
      );
      const failed = disturbedRuns.filter((run) => !run.success).length;
      say(
        `  ${disturb.padEnd(14)} ${disturbedRuns.length} runs, ${failed} of which fail: alarm in ${share(again.detected, disturbedRuns.length)}, ${again.early} inferences before their end (median)`,
      );
    }
    for (const file of files) say(`  → ${at(file)}`);
    return 0;
  },
};

function share(k: number, n: number): string {
  const [low, high] = wilson(k, n).map((v) => (100 * v).toFixed(1));
  return `${k}/${n} (95 % interval ${low}–${high} %)`;
}
