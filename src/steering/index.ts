export {
  findManifest,
  fingerprintOf,
  loadSteered,
  MANIFEST,
  type SteerablePolicy,
  type SteeringOptions,
} from './load.js';
export { SteeredPolicy } from './steered-policy.js';
