// Sampled MuZero's search written out plainly (objects and recursion), for the native tree to be compared with: one leaf
// at a time, or waves in which an edge under way counts as visited without a value.

export interface Judged {
  readonly reward: number;
  readonly alive: number;
  readonly value: number;
  readonly state: Float32Array;
  /** By action: (K, action_dim). */
  readonly actions: Float32Array;
  readonly draws: Float32Array;
}

interface Edge {
  readonly action: Float32Array;
  prior: number;
  visits: number;
  pending: number;
  sum: number;
  reward: number;
  discount: number;
  failed: boolean;
  child?: Node;
}

interface Node {
  readonly state: Float32Array;
  readonly edges: Edge[];
  readonly from?: { node: Node; edge: Edge };
  visits: number;
  pending: number;
}

export interface ReferenceOptions {
  readonly actions: number;
  readonly action_dim: number;
  readonly simulations: number;
  readonly discount: number;
  readonly batch?: number;
  readonly spread?: number;
  readonly noise?: Float32Array;
  readonly untried?: 'zero' | 'mean';
}

/** Visit counts, values and failures of the root's actions after the search. */
export async function referenceSearch(
  options: ReferenceOptions,
  root: Omit<Judged, 'reward' | 'alive' | 'value'>,
  judge: (leaves: { state: Float32Array; action: Float32Array; simulation: number }[]) => Promise<Judged[]>,
) {
  const { actions: K, action_dim: A, simulations, discount, batch = 1, spread = 1, noise, untried } = options;
  const q = (e: Edge): number => e.reward + (e.discount * e.sum) / e.visits;
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  let worst = 0;

  const open = (state: Float32Array, acts: Float32Array, draws: Float32Array, from?: Node['from']): Node => ({
    state: state.slice(),
    ...(from === undefined ? {} : { from }),
    visits: 0,
    pending: 0,
    edges: Array.from({ length: K }, (_, k) => {
      const square = draws.subarray(k * A, (k + 1) * A).reduce((sum, e) => sum + e * e, 0);
      return {
        action: acts.slice(k * A, (k + 1) * A),
        prior: (spread ** A / K) * Math.exp(0.5 * (1 - spread * spread) * square),
        visits: 0,
        pending: 0,
        sum: 0,
        reward: 0,
        discount: 0,
        failed: false,
      };
    }),
  });
  const top = open(root.state, root.actions, root.draws);
  if (noise !== undefined)
    top.edges.forEach((e, k) => {
      e.prior = 0.75 * e.prior + 0.25 * noise[k]!;
    });

  /** What an action of this node counts that has not been tried, from the same of the node above. */
  const untriedAt = (node: Node, above: number): number => {
    const tried = node.edges.filter((e) => !e.failed && e.visits > 0).map(q);
    const sum = tried.reduce((a, b) => a + b, 0);
    return node === top && tried.length > 0 ? sum / tried.length : (above + sum) / (tried.length + 1);
  };
  const score = (node: Node, e: Edge, mean: number): number => {
    const N = node.visits + node.pending;
    const explore =
      ((Math.log((N + 19652 + 1) / 19652) + 1.25) * Math.sqrt(N) * e.prior) / (e.visits + e.pending + 1);
    if (e.visits === 0 && untried !== 'mean') return explore;
    const value = e.visits === 0 ? mean : q(e);
    return explore + (highest > lowest ? (value - lowest) / (highest - lowest) : value);
  };
  const fail = (node: Node, e: Edge): void => {
    e.failed = true;
    if (node.from !== undefined && node.edges.every((edge) => edge.failed))
      fail(node.from.node, node.from.edge);
  };

  for (let done = 0; done < simulations; ) {
    const wave: { node: Node; edge: Edge }[][] = [];
    while (wave.length < batch && done + wave.length < simulations && top.edges.some((e) => !e.failed)) {
      const path: { node: Node; edge: Edge }[] = [];
      let mean = 0;
      for (let node: Node | undefined = top; node !== undefined; ) {
        mean = untriedAt(node, mean);
        let edge: Edge | undefined;
        for (const e of node.edges)
          if (!e.failed && (edge === undefined || score(node, e, mean) > score(node, edge, mean))) edge = e;
        path.push({ node, edge: edge! });
        node = edge!.child;
      }
      for (const { node, edge } of path) {
        node.pending++;
        edge.pending++;
      }
      wave.push(path);
    }
    if (wave.length === 0) break;
    const judged = await judge(
      wave.map((path, i) => ({
        state: path.at(-1)!.node.state,
        action: path.at(-1)!.edge.action,
        simulation: done + i,
      })),
    );
    wave.forEach((path, i) => {
      const { node: parent, edge: last } = path.at(-1)!;
      const said = judged[i]!;
      for (const { node, edge } of path) {
        node.pending--;
        edge.pending--;
      }
      if (![said.reward, said.alive, said.value].every((v) => Math.abs(v) <= 1e30)) {
        worst++;
        if (!last.failed) fail(parent, last);
        return;
      }
      if (last.child === undefined) {
        last.child = open(said.state, said.actions, said.draws, { node: parent, edge: last });
        last.reward = said.reward;
        last.discount = discount * said.alive;
      }
      let g = said.value;
      for (const { node, edge } of path.toReversed()) {
        edge.sum += g;
        edge.visits++;
        lowest = Math.min(lowest, q(edge));
        highest = Math.max(highest, q(edge));
        g = edge.reward + edge.discount * g;
        edge.child!.visits = edge.visits;
        if (node === top) top.visits++;
      }
    });
    done += wave.length;
  }
  return {
    visits: top.edges.map((e) => e.visits),
    values: top.edges.map((e) => (e.visits === 0 ? 0 : q(e))),
    failed: top.edges.map((e) => e.failed),
    worst,
  };
}
