// Residuals: a small bounded correction beside a frozen policy (Policy Decorator): what is played + scale · residual. It stands
// where guardians stand, after the choice; one that fails holds.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import type { Part, PartHost } from '../ports.js';
import { Inputs, InputsEntry } from './inputs.js';

export const ResidualEntry = z.lazy(() =>
  z.strictObject({
    kind: z.literal('residual'),
    /** An actor as its author saved it, or ONNX: as many numbers as the rows that it corrects. */
    model: z.string(),
    inputs: InputsEntry.default(['observation']),
    /** In the unit of actions; the authors' are 0.03 to 0.3. */
    scale: z.number().min(0),
  }),
);
export type ResidualEntry = z.infer<typeof ResidualEntry>;

export async function openResidual(name: string, entry: ResidualEntry, host: PartHost): Promise<Part> {
  const inputs = new Inputs(entry.inputs, 'executed', host.spec, `parts.${name}`);
  const network = await host.network(entry.model, 'residual');
  const { action_dim, horizon } = host.spec;
  if (network.width % action_dim !== 0 || network.width > horizon * action_dim)
    throw new TendonError(
      'weights_mismatch',
      `parts.${name}.model: expected whole rows of ${action_dim} numbers, at most ${horizon}, got ${network.width} numbers`,
    );
  const [input] = Object.keys(network.inputs);
  return {
    kind: 'guardian',
    part: {
      async guard(order, chunks, _, moment) {
        const chosen = order[0]!;
        const size = chunks.horizon * chunks.action_dim;
        const actions = chunks.values.slice(chosen * size, (chosen + 1) * size);
        const one = { ...chunks, values: actions, n: 1 };
        const { values } = inputs.gather(one, moment, network.chunk_limit);
        const residual = await network.run({ [input!]: values }, 1);
        residual.forEach((r, i) => {
          const at = chunks.first * chunks.action_dim + i;
          if (at < actions.length) actions[at]! += entry.scale * r;
        });
        return { did: 'residual', chosen, actions, share: 1, why: '' };
      },
    },
  };
}
