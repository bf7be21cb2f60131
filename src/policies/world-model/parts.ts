// The networks of a world model one by one, as graphs of their own: what a planner's programs, which are unrolled over the
// horizon and fused, no longer show. For `tendon inspect`; nothing here plans.

import { GraphBuilder, type InstructionReport, type PlannerTable, type Value } from '../../native/index.js';
import type { WorldNetworks } from './graph.js';
import { type PlannerChoice, plannerTable, TREE_SEARCH, treeTable } from './planners.js';

export interface Part {
  readonly name: 'encoder' | 'dynamics' | 'reward' | 'dynamics+reward' | 'end' | 'policy' | 'value';
  readonly graph: GraphBuilder;
  readonly parameters: number;
  /** Rows of one call while planning, and how many calls a whole plan makes. */
  readonly rows: number;
  readonly calls: number;
}

/** What one plan asks of the networks: rows of a call, steps of rollouts, policies at their ends, critics asked there. */
export interface Asked {
  readonly rows: number;
  readonly steps: number;
  readonly policies: number;
  readonly values: number;
}

/** A world model at work: its networks, and the programs that the planner in force has made of them. */
export interface WorldDescription {
  readonly parts: readonly Part[];
  /** How often a plan runs the step stage of each program. */
  readonly iterations: number;
  /** Absent where the planner does not time its instructions. */
  readonly profile: ((rounds: number) => Promise<InstructionReport[]>) | undefined;
}

/** By the planner's numbers; `outputs` of the family's graph. */
export function askedBy(
  table: PlannerTable,
  discount: number,
  choice: PlannerChoice,
  critics: number,
  outputs: readonly string[],
): Asked {
  if (choice.sampler === 'policy') return { rows: 1, steps: 0, policies: 1, values: 0 };
  if (choice.sampler === TREE_SEARCH) {
    const { simulations = 50, batch = 1 } = treeTable(table, discount, choice);
    const steps = Math.ceil(simulations / batch);
    return { rows: batch, steps, policies: steps, values: steps * critics };
  }
  const { horizon, samples, prior = 0, iterations = 1, drawn = critics } = plannerTable(table, choice);
  // Where a rollout gives what all of several critics say, their spread is asked for at every step.
  const all = critics > 1 && outputs.includes('members');
  return {
    rows: samples + prior,
    steps: iterations * horizon,
    policies: critics > 0 ? iterations : 0,
    values: iterations * (all ? (horizon + 1) * critics : Math.min(drawn, critics)),
  };
}

/** Of a model whose rollouts carry numbers of a fixed width; otherwise the encoder alone stands for itself. */
export function partsOf<Z>(networks: WorldNetworks<Z>, { rows, steps, policies, values }: Asked): Part[] {
  const { packing, critics, draws = 0, action_dim } = networks;
  const rolled = { rows, calls: steps };
  const graphOf = (output: string, describe: (g: GraphBuilder) => Value): GraphBuilder => {
    const g = new GraphBuilder();
    g.output(output, describe(g));
    return g;
  };
  const parts: Omit<Part, 'parameters'>[] = [
    { name: 'encoder', graph: graphOf('latent', (g) => networks.encode(g)), rows: 1, calls: 1 },
  ];
  const counted = (): Part[] => parts.map((part) => ({ ...part, parameters: parametersOf(part.graph) }));
  if (packing === undefined) return counted();
  const width = widthOf(networks, packing.pack);
  const state = (g: GraphBuilder, name: string): Z => packing.unpack(g, g.input(name, [1, width], 'step'));
  const input = (g: GraphBuilder, name: string, n: number): Value => g.input(name, [1, n], 'step');
  const action = (g: GraphBuilder): Value => input(g, 'action', action_dim);
  const next = (g: GraphBuilder, z: Z, a: Value): Z =>
    networks.next(g, z, a, draws > 0 ? input(g, 'model_noise', draws) : undefined);
  const dynamics = (g: GraphBuilder): Value =>
    g.affine(packing.pack(g, next(g, state(g, 'state'), action(g))), 1, 0);
  if (width === networks.latent_dim) {
    parts.push({ name: 'dynamics', graph: graphOf('after', dynamics), ...rolled });
    const reward = (g: GraphBuilder): Value =>
      networks.reward(g, state(g, 'state'), action(g), state(g, 'after'));
    parts.push({ name: 'reward', graph: graphOf('reward', reward), ...rolled });
  } else {
    // What more a step carries than the latent, such as a transformer's keys, the reward may be read from.
    const graph = graphOf('reward', (g) => {
      const [z, a] = [state(g, 'state'), action(g)];
      const after = next(g, z, a);
      g.output('after', g.affine(packing.pack(g, after), 1, 0));
      return networks.reward(g, z, a, after);
    });
    parts.push({ name: 'dynamics+reward', graph, ...rolled });
  }
  if (networks.ended !== undefined)
    parts.push({
      name: 'end',
      graph: graphOf('ended', (g) => networks.ended!(g, state(g, 'after'))),
      ...rolled,
    });
  if (networks.prior !== undefined)
    parts.push({
      name: 'policy',
      graph: graphOf('action', (g) => networks.prior!(g, state(g, 'state'), input(g, 'noise', action_dim))),
      rows,
      calls: policies,
    });
  if (critics > 0)
    parts.push({
      name: 'value',
      graph: graphOf('value', (g) =>
        networks.value!(g, 0, input(g, 'tail', networks.tail_dim!), input(g, 'action', action_dim)),
      ),
      rows,
      calls: values,
    });
  return counted();
}

/** Numbers in the file that the outputs are computed from. */
function parametersOf({ nodes, outputs }: GraphBuilder): number {
  const sizes = new Map<string, number>();
  const met = new Set<number>();
  const waiting = outputs.map(({ id }) => id);
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (met.has(id)) continue;
    met.add(id);
    const { tensor, inputs } = nodes[id]!;
    if (tensor !== undefined)
      sizes.set(
        `${tensor.file}:${tensor.offset}`,
        tensor.shape.reduce((a, b) => a * b, 1),
      );
    waiting.push(...inputs);
  }
  return [...sizes.values()].reduce((a, b) => a + b, 0);
}

/** Of a state as the tree keeps it. */
function widthOf<Z>(
  networks: WorldNetworks<Z>,
  pack: NonNullable<WorldNetworks<Z>['packing']>['pack'],
): number {
  const g = new GraphBuilder();
  const latent = g.input('latent', [1, networks.latent_dim], 'observation');
  return pack(g, networks.begin(g, latent)).shape[1]!;
}
