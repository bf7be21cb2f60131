// The recording of BESO's own code (beso_small) and its configuration as a folder of ours has it.

import { BesoConfig } from '../../src/policies/beso/config.js';
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
