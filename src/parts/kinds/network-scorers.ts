// Scorers that are networks: critics of chunks, pseudo-counts, failure detectors, distillation, densities, distances to a goal.

import { TendonError } from '../../types/index.js';
import { rowsOf } from '../numbers.js';
import type { Judged, RowNetwork, Scorer } from '../ports.js';
import { reduced } from '../select.js';
import { Inputs } from './inputs.js';
import type { Form, ScorerEntry } from './scorer.js';

/** From one row of the network's output, and of its input, to a score. */
type ToScore = (output: ArrayLike<number>, input: ArrayLike<number>) => number;

/** Opens the network of an entry; `one` says what its row comes to. */
const networkForm = (summary: string, one: (entry: ScorerEntry) => ToScore): Form => ({
  summary,
  needs: ['model', 'inputs'],
  async open(name, entry, host) {
    const inputs = new Inputs(entry.inputs!, entry.rows, host.spec, `parts.${name}`);
    const network = await host.network(entry.model!, entry.form);
    const score = one(entry);
    return {
      ranks: inputs.ranks,
      async score(chunks, moment): Promise<Judged> {
        const { values, n, width } = inputs.gather(chunks, moment, network.chunk_limit);
        const output = await run(`parts.${name}`, network, values, n, width);
        const given = rowsOf(values, width);
        return { scores: rowsOf(output, network.width).map((row, i) => score(row, given[i]!)) };
      },
    };
  },
});

/** What is gathered, cut into the network's inputs in their order. */
async function run(
  where: string,
  network: RowNetwork,
  values: Float32Array,
  n: number,
  width: number,
): Promise<Float32Array> {
  const names = Object.entries(network.inputs);
  const expected = names.reduce((sum, [, size]) => sum + size, 0);
  if (expected !== width)
    throw new TendonError(
      'input_invalid',
      `${where}.inputs: the network takes ${names.map(([name, size]) => `${name} of ${size}`).join(' and ')} numbers a row, the inputs give ${width}; name other inputs, or rows: all, executed, first`,
      { expected, got: width },
    );
  let from = 0;
  const given = Object.fromEntries(
    names.map(([name, size]) => {
      const part = new Float32Array(n * size);
      for (let i = 0; i < n; i++)
        part.set(values.subarray(i * width + from, i * width + from + size), i * size);
      from += size;
      return [name, part];
    }),
  );
  return network.run(given, n);
}

const squares = (row: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i]! * row[i]!;
  return sum;
};

const failure: Form = {
  summary: 'SAFE: minus how much a feature looks like a failure, by an MLP or an LSTM over the episode',
  needs: ['model', 'inputs'],
  async open(name, entry, host) {
    const inputs = new Inputs(entry.inputs!, entry.rows, host.spec, `parts.${name}`);
    const network = await host.network(entry.model!, entry.form);
    // An LSTM has h and c as inputs, and gives them after its score.
    const state = network.inputs.h ?? 0;
    return {
      ranks: false,
      async score(chunks, moment, carried): Promise<Judged> {
        const { values, width } = inputs.gather(chunks, moment);
        const x = values.subarray(0, width);
        const memory = (carried as Float32Array | undefined) ?? new Float32Array(2 * state);
        const row = new Float32Array(width + memory.length);
        row.set(x);
        row.set(memory, width);
        const output = await run(`parts.${name}`, network, row, 1, row.length);
        return { scores: [-output[0]!], ...(state > 0 ? { carried: output.slice(1) } : {}) };
      },
    } satisfies Scorer;
  },
};

export const networkForms: Readonly<Record<string, Form>> = {
  value: networkForm(
    'the value of what is seen or of a chunk, by an ensemble of critics',
    ({ reduce, kappa }) =>
      (row) =>
        reduced(
          Array.from(row, (v) => [v]),
          reduce,
          kappa,
        )[0]!,
  ),
  coin_flip: networkForm(
    'TACO: how often the data have been here, flips / ‖f‖²',
    () => (row) => row.length / squares(row),
  ),
  rnd: networkForm(
    'random network distillation: minus the distance of predictor and target',
    () => (row) => -row[0]!,
  ),
  density: networkForm(
    'logpZO: minus the squared length of what a flow at time 0 makes noise of',
    () => (row, input) => {
      let sum = 0;
      for (let i = 0; i < row.length; i++) sum += (input[i]! + row[i]!) ** 2;
      return -sum;
    },
  ),
  output: networkForm(
    'one output of any network, such as a progress or success head',
    ({ output }) =>
      (row) =>
        row[output]!,
  ),
  failure,
};
