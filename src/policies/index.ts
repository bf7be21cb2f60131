export { DenoisingPolicy, type LoadOptions } from './denoising-policy.js';
export { FAMILY_NAMES, type LoadedPolicy, loadPolicy, openFamily } from './load.js';
export { type ImportOptions, importOnnx } from './onnx/index.js';
export { PlanningPolicy, type PlanOptions } from './world-model/planning-policy.js';
