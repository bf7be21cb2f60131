// Monitors: what speaks against an inference (minus a scorer's score) is accumulated over the episode and held against a
// threshold or a band that `tendon calibrate` made of successful runs (monitor.ts). A monitor that cannot see alarms.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { type BandFile, readBand } from '../band-file.js';
import { ACCUMULATIONS, type Accumulated, accumulate, boundOf } from '../monitor.js';
import { MONITOR_ACTS, type Part, type PartHost, type Watched } from '../ports.js';

/** A monitor in a manifest: a score watched against a band, and what an alarm does. */
export const MonitorEntry = z.lazy(() =>
  z
    .strictObject({
      kind: z.literal('monitor'),
      /** One scorer; of two or more it alarms only when all do at once (FIPER). */
      score: z.union([z.string(), z.array(z.string()).min(2).max(4)]),
      accumulate: z.enum(ACCUMULATIONS).default('sum'),
      window: z.number().int().min(1).max(10_000).default(1),
      /** File of `tendon calibrate`, one for each scorer; or thresholds. */
      band: z.union([z.string(), z.array(z.string()).min(2).max(4)]).optional(),
      threshold: z.union([z.number(), z.array(z.number()).min(2).max(4)]).optional(),
      // biome-ignore lint/suspicious/noThenProperty: the manifest's own word
      then: z.enum(MONITOR_ACTS).default('warn'),
      /** Parts that an alarm switches on for the rest of the episode (then: arm). They are off until then. */
      arms: z.array(z.string()).max(16).default([]),
    })
    .refine(({ then, arms }) => (then === 'arm') === arms.length > 0, {
      error: 'arms names the parts that an alarm switches on, and belongs to then: "arm"',
    }),
);
export type MonitorEntry = z.infer<typeof MonitorEntry>;

interface Bound {
  readonly score: string;
  at(step: number): number;
}

interface Kept {
  readonly sums: readonly (Accumulated | undefined)[];
  readonly step: number;
}

const REASONS = {
  warn: 'warns',
  hold: 'holds the robot',
  takeover: 'asks for a person',
  arm: 'arms',
} as const;

/** Opens without a bound too, where `calibrating`: its scores are then collected, and it never alarms. */
export function openMonitor(name: string, entry: MonitorEntry, host: PartHost): Part {
  const bounds = boundsOf(name, entry, host);
  const start: Kept = { sums: bounds.map(() => undefined), step: 0 };
  return {
    kind: 'monitor',
    part: {
      watch(scores, _, carried): Watched {
        const { sums, step } = (carried as Kept | undefined) ?? start;
        const next = bounds.map(({ score }, i) =>
          accumulate(entry.accumulate, entry.window, sums[i], -(scores[score] ?? Number.NaN)),
        );
        const bound = bounds.map((b) => b.at(step));
        // NaN alarms: what cannot be seen is not called well.
        const alarm = next.every(({ value }, i) => !(value < bound[i]!));
        return {
          value: next[0]!.value,
          bound: bound[0]!,
          alarm,
          act: entry.then,
          arms: entry.arms,
          why: `${name} ${REASONS[entry.then]}: ${next.map(({ value }, i) => `${bounds[i]!.score} ${value.toPrecision(4)} of at most ${bound[i]!.toPrecision(4)}`).join(', ')}`,
          carried: { sums: next, step: step + 1 } satisfies Kept,
        };
      },
    },
  };
}

function boundsOf(name: string, entry: MonitorEntry, host: PartHost): Bound[] {
  const scores = [entry.score].flat();
  const bands = entry.band === undefined ? undefined : [entry.band].flat();
  const thresholds = entry.threshold === undefined ? undefined : [entry.threshold].flat();
  if (host.calibrating) return scores.map((score) => ({ score, at: () => Number.POSITIVE_INFINITY }));
  if ((bands === undefined) === (thresholds === undefined))
    throw new TendonError(
      'config_invalid',
      `parts.${name}: expected either a band (\`tendon calibrate RECORDINGS --monitor ${name}\` makes it of successful runs) or a threshold`,
    );
  if ((bands ?? thresholds)!.length !== scores.length)
    throw new TendonError(
      'config_invalid',
      `parts.${name}: expected one ${bands === undefined ? 'threshold' : 'band'} for each of ${scores.join(', ')}`,
    );
  return scores.map((score, i) => {
    if (thresholds !== undefined) return { score, at: () => thresholds[i]! };
    const band = readBand(host.json(bands![i]!), bands![i]!);
    checkBand(name, score, band, entry, host);
    return { score, at: boundOf(band) };
  });
}

/** A band belongs to the scorer, the accumulation and the weights that it was made with. */
function checkBand(name: string, score: string, band: BandFile, entry: MonitorEntry, host: PartHost): void {
  const rule = `${entry.accumulate}${entry.accumulate === 'window' ? ` ${entry.window}` : ''}`;
  const differs =
    band.score !== score
      ? `of the scorer ${band.score}, not ${score}`
      : band.accumulate !== rule
        ? `of scores by ${band.accumulate}, not ${rule}`
        : band.policy !== host.fingerprint
          ? `made with other weights (${band.policy.slice(0, 12)}…) than this policy’s (${host.fingerprint.slice(0, 12)}…)`
          : undefined;
  if (differs !== undefined)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.band: this band is ${differs}; calibrate again with \`tendon calibrate RECORDINGS --monitor ${name}\``,
    );
}
