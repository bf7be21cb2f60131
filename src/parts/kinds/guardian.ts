// Guardians: what is about to be played must be inside what a scorer allows; else the next candidate, a share of it beside a
// baseline policy, the baseline, or a hold, in the order in which the manifest names them. A guardian that fails holds.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { insideShare, mixed, valueShare } from '../guardian.js';
import type { Row } from '../numbers.js';
import type { Chunks, Guarded, Guardian, Moment, Part, PartHost, PartPolicy, Scorer } from '../ports.js';

export const GuardianEntry = z.lazy(() =>
  z
    .strictObject({
      kind: z.literal('guardian'),
      score: z.string(),
      /** Inside from this score on. Of share: the floor that no mixture may fall below. */
      at_least: z.number(),
      otherwise: z
        .array(z.enum(['next', 'shrink', 'share', 'baseline', 'hold']))
        .min(1)
        .max(5)
        .default(['next', 'hold']),
      /** Folder of the proven policy. */
      baseline: z.string().optional(),
      /** Mixtures that are tried on the way to the baseline. */
      grid: z.number().int().min(1).max(64).default(8),
    })
    .refine(({ otherwise, baseline }) => !otherwise.some(needsBaseline) || baseline !== undefined, {
      error: 'baseline: shrink, share and baseline need the folder of a proven policy',
    }),
);
export type GuardianEntry = z.infer<typeof GuardianEntry>;

const needsBaseline = (step: string): boolean => step === 'shrink' || step === 'share' || step === 'baseline';

export async function openGuardian(
  name: string,
  entry: GuardianEntry,
  host: PartHost,
  scorer: Scorer,
): Promise<Part> {
  if (!scorer.ranks)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.score: ${entry.score} looks at no chunk, so it cannot say which chunk is inside; let a monitor watch it instead`,
    );
  const baseline = entry.baseline === undefined ? undefined : await host.policy(entry.baseline);
  const { action_dim, horizon } = host.spec;
  if (
    baseline !== undefined &&
    (baseline.spec.action_dim !== action_dim || baseline.spec.horizon < host.spec.n_action_steps)
  )
    throw new TendonError(
      'config_invalid',
      `parts.${name}.baseline: expected chunks of at least ${host.spec.n_action_steps} × ${action_dim}, got ${baseline.spec.horizon} × ${baseline.spec.action_dim}`,
      { horizon },
    );
  return { kind: 'guardian', part: new InsideGuardian(name, entry, scorer, baseline) };
}

class InsideGuardian implements Guardian {
  constructor(
    private readonly name: string,
    private readonly entry: GuardianEntry,
    private readonly scorer: Scorer,
    private readonly baseline: PartPolicy | undefined,
  ) {}

  async guard(
    order: readonly number[],
    chunks: Chunks,
    scores: Readonly<Record<string, Row>>,
    moment: Moment,
    carried: unknown,
  ): Promise<Guarded> {
    const { score, at_least, otherwise } = this.entry;
    const known = scores[score];
    if (known === undefined || known.length !== chunks.n)
      throw new TendonError(
        'policy_failed',
        `${this.name}: nothing is known of ${score}, so nothing is inside`,
      );
    const best = order[0]!;
    const inside = (i: number): boolean => known[i]! >= at_least;
    // The baseline hears of every inference, so that one with a memory is ready when it is needed.
    const proven = await this.baseline?.ask(moment, carried);
    const answer = (did: Guarded['did'], chosen: number, actions: Float32Array, share: number): Guarded => ({
      did,
      chosen,
      actions,
      share,
      why: `${this.name}: ${score} ${known[best]!.toPrecision(4)}, at least ${at_least} is inside`,
      carried: proven?.carried,
    });
    if (inside(best)) return answer('passed', best, chunkOf(chunks, best), 1);
    const base = proven && fitted(proven.chunk.actions, chunks, best);
    for (const step of otherwise) {
      if (step === 'hold') break;
      if (step === 'next') {
        const next = order.find(inside);
        if (next !== undefined) return answer('next', next, chunkOf(chunks, next), 1);
      } else if (step === 'baseline') return answer('baseline', best, base!, 0);
      else {
        const share =
          step === 'shrink'
            ? await this.shrunk(chunkOf(chunks, best), base!, chunks, moment)
            : valueShare(known[best]!, (await this.of([base!], chunks, moment))[0]!, at_least);
        if (share > 0)
          return answer('shrink', best, Float32Array.from(mixed(chunkOf(chunks, best), base!, share)), share);
        // As OGSRL and StepMix have it, what is left is the baseline itself.
        if (otherwise.at(-1) === step) return answer('baseline', best, base!, 0);
      }
    }
    return answer('hold', best, chunkOf(chunks, best), 0);
  }

  /** The largest share whose mixture is inside, all of the grid scored together. */
  private async shrunk(
    action: Float32Array,
    base: Float32Array,
    chunks: Chunks,
    moment: Moment,
  ): Promise<number> {
    const { grid, at_least } = this.entry;
    const shares = Array.from({ length: grid }, (_, i) => (i + 1) / grid);
    const scores = await this.of(
      shares.map((share) => Float32Array.from(mixed(action, base, share))),
      chunks,
      moment,
    );
    return insideShare(action, base, grid, (_, i) => scores[i - 1]! >= at_least);
  }

  private async of(rows: readonly Float32Array[], chunks: Chunks, moment: Moment): Promise<Row> {
    const size = chunks.horizon * chunks.action_dim;
    const values = new Float32Array(rows.length * size);
    rows.forEach((row, i) => {
      values.set(row, i * size);
    });
    const { scores } = await this.scorer.score({ ...chunks, values, n: rows.length }, moment, undefined);
    return scores;
  }
}

const chunkOf = ({ values, horizon, action_dim }: Chunks, i: number): Float32Array =>
  values.slice(i * horizon * action_dim, (i + 1) * horizon * action_dim);

/** The baseline's rows; beyond its horizon, which is never executed, the candidate's own. */
function fitted(base: Float32Array, chunks: Chunks, i: number): Float32Array {
  const out = chunkOf(chunks, i);
  out.set(base.subarray(0, out.length));
  return out;
}
