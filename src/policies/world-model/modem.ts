// MoDem-V2's three ingredients (Lancaster et al. 2023; facebookresearch/modemv2), each an option of any world model's
// config.json under `modem`: exploration around what a demonstration's policy would do, agency handed over from that
// policy to the planner, and a value that trusts critics only as far as they agree.

import * as z from 'zod';
import type { PlannerTable } from '../../native/index.js';
import { TendonError } from '../../types/index.js';

const share = z.number().min(0).max(1);
const HandoverConfig = z.lazy(() =>
  z
    .object({
      /** The planner's share before plan number `begin` and from number `end` on; between them it changes evenly. */
      from: share.default(0),
      to: share.default(1),
      begin: z.number().int().min(0),
      end: z.number().int().min(0),
      /** `draw`: a plan is the planner's with that probability (the peers'); `blend`: actions are mixed by it. */
      mode: z.enum(['draw', 'blend']).default('draw'),
    })
    .refine((h) => h.end > h.begin, { path: ['end'], message: 'a later plan than begin' }),
);

export const ModemConfig = z.lazy(() =>
  z
    .object({
      /** Folder of the demonstration's policy, from the checkpoint's own. */
      policy: z.string().optional(),
      /** The search starts around that policy's actions with this spread; 0: it starts as without. */
      centre_std: z.number().min(0).default(0.1),
      handover: HandoverConfig.optional(),
      /** Weights of the critics' minimum, mean and standard deviation; MoDem-V2's are 0, 1 and −10. */
      value: z
        .object({ min: z.number().default(0), mean: z.number().default(1), std: z.number().default(-10) })
        .optional(),
    })
    .refine((m) => m.policy !== undefined || m.handover === undefined, {
      path: ['policy'],
      message: 'a policy whose agency is handed over',
    }),
);
export type ModemConfig = z.infer<typeof ModemConfig>;
type HandoverConfig = z.infer<typeof HandoverConfig>;

/** The planner's share of plan number `plan`, counted from 0. */
export function plannerShare({ from, to, begin, end }: HandoverConfig, plan: number): number {
  return from + (to - from) * Math.min(1, Math.max(0, (plan - begin) / (end - begin)));
}

/** The table with the options that it holds. */
export function modemTable(table: PlannerTable, modem: ModemConfig): PlannerTable {
  const { policy, centre_std, value } = modem;
  const centred = policy === undefined || centre_std === 0 ? table : { ...table, centre_std };
  if (value === undefined) return centred;
  const critics = table.critics ?? 0;
  if (critics < 2)
    throw new TendonError(
      'config_invalid',
      `modem.value: expected a model with two critics or more, whose agreement can be judged; this one has ${critics}`,
      { critics },
    );
  return {
    ...centred,
    ask: 'weighted',
    ask_min: value.min,
    ask_mean: value.mean,
    ask_std: value.std,
    // The whole ensemble is asked, as the peers do.
    drawn: critics,
    with_replacement: false,
  };
}
