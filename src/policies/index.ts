export type { LoadOptions } from './denoiser-family.js';
export { DenoisingPolicy } from './denoising-policy.js';
export { actionCodec } from './features.js';
export { FAMILY_NAMES, type LoadedPolicy, loadPolicy, openFamily } from './load.js';
export { type ImportOptions, importOnnx } from './onnx/index.js';
export { Imagination, type Imagined } from './world-model/imagination.js';
export { ModelPredictivePolicy, type PredictiveModel } from './world-model/model-predictive.js';
export { PlanningPolicy, type PlanOptions } from './world-model/planning-policy.js';
export { type MppiOptions, mppi, type Score, SequenceSearch } from './world-model/sequence-search.js';
