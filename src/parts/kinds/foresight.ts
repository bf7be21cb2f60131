// What an agent's high level has in mind, to be drawn: a subgoal is a representation, and the recorded state whose representation
// from here is nearest to it is where the agent means to be next. Asked again from there, and so on, this gives its way to the
// goal. Nothing of it is given to the policy.

import { TendonError } from '../../types/index.js';
import { type Row, rowsOf, smallest, squaredDistance } from '../numbers.js';
import type { PartHost } from '../ports.js';
import { completed, flat, repeated, statesOf, type Where } from './goal-inputs.js';

export interface ForesightEntry {
  readonly model: string;
  readonly states: string;
  readonly hops: number;
}

/** States on the way from here to the goal as the agent foresees it, nearest first; ends where it would stay. */
export type Foresight = (state: Row, goal: Row) => Promise<Row[]>;

export async function openForesight(
  { model, states: file, hops }: ForesightEntry,
  where: Where,
  host: PartHost,
  part: string,
): Promise<Foresight> {
  const networks = await host.goals(model);
  for (const name of ['subgoal', 'goal_rep'])
    if (!networks.names.includes(name))
      throw new TendonError(
        'config_invalid',
        `parts.${part}.foresee: ${networks.agent} has ${networks.names.join(', ')} and no "${name}"`,
        { score: name },
      );
  const states = await statesOf(file, where.state, host, part);
  return async (state, goal) => {
    const way: Row[] = [];
    let here = state;
    for (let hop = 0; hop < hops; hop++) {
      const from = here;
      const wanted = completed(goal, where.use, from);
      const subgoal = await networks.score('subgoal', { observations: flat([from]), goals: flat([wanted]) });
      const seen = await networks.score('goal_rep', {
        observations: flat(repeated(from, states.length)),
        goals: flat(states.map((row) => completed(row, where.use, from))),
      });
      const apart = rowsOf(seen, subgoal.length).map((row) => squaredDistance(row, subgoal));
      const next = states[smallest(apart, 1)[0]!]!;
      if (way.includes(next)) break;
      way.push(next);
      here = next;
    }
    return way;
  };
}
