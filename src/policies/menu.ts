// What a menu offers is what may be chosen: one check for every policy.

import { type SamplerChoice, type SamplerMenu, TendonError } from '../types/index.js';

/** Throws `config_invalid` for a choice that is not on the menu, with what is. A sampler is refused by its tables, which know why. */
export function checkOffered(family: string, menu: SamplerMenu, choice: SamplerChoice): void {
  const refuse = (field: string, expected: string, got: unknown): never => {
    throw new TendonError('config_invalid', `${field}: ${family} has ${expected}, got ${got}`, {
      field,
      got,
    });
  };
  const { precision, steps, candidates } = choice;
  if (!menu.precisions.includes(precision)) refuse('precision', menu.precisions.join(', '), `"${precision}"`);
  // Steps of another family's sampler say nothing of what is wrong.
  const known = menu.samplers.includes(choice.sampler);
  if (known && (!Number.isInteger(steps) || steps < 1 || steps > menu.max_steps))
    refuse('steps', `1 to ${menu.max_steps} whole steps`, steps);
  if (!Number.isInteger(candidates) || candidates < 1 || candidates > menu.max_candidates)
    refuse('candidates', `1 to ${menu.max_candidates} whole candidates`, candidates);
}
