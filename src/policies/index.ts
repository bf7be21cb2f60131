export { DenoisingPolicy, type LoadOptions } from './denoising-policy.js';
export { FAMILY_NAMES, loadPolicy } from './load.js';
