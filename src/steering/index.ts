export { type Calibrated, calibrate, monitorOf } from './calibrate.js';
export {
  findManifest,
  fingerprintOf,
  loadSteered,
  MANIFEST,
  type SteerablePolicy,
  type SteeringOptions,
} from './load.js';
export { remembered } from './remember.js';
export { SteeredPolicy } from './steered-policy.js';
