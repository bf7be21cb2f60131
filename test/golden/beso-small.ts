// The recording of BESO's own code (beso_small) and its configuration as a folder of ours has it.

import { addon } from '../../src/native/index.js';
import { BesoConfig } from '../../src/policies/beso/config.js';
import { besoGraph } from '../../src/policies/beso/graph.js';
import { Tensors } from '../../src/policies/tensors.js';
import { golden } from './golden.js';

export const beso = golden('beso_small');
export const json = {
  ...beso.config,
  type: 'beso',
  input_features: {
    'observation.state': { type: 'STATE', shape: [10] },
    'observation.goal': { type: 'ENV', shape: [10] },
  },
  output_features: { action: { type: 'ACTION', shape: [2] } },
  normalization_mapping: { STATE: 'IDENTITY', ENV: 'IDENTITY', ACTION: 'IDENTITY' },
};
export const config = BesoConfig.parse(json);

/** F of sample b by single runs of the network. */
export async function asked(b: number): Promise<(x: Float64Array, level: number) => Promise<Float32Array>> {
  const model = await addon().compileModel(besoGraph(config, Tensors.open(beso.dir, 'beso'), 5, 1).native, {
    precision: 'f32',
  });
  const session = await model.openSession({ batch: 1 });
  const state = beso.get('state').slice(b * 50, b * 50 + 50);
  const goal = beso.get('goal').slice(b * 10, b * 10 + 10);
  return async (x, level) => {
    const run = await session.run({ x: Float32Array.from(x), c_noise: Float32Array.of(level), state, goal });
    return run.outputs.F!;
  };
}
