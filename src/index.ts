// The library: everything a program needs to load a policy, control a robot and evaluate.

export * from './control/index.js';
export { type EvaluateOptions, type Evaluation, evaluatePolicy } from './eval/evaluate.js';
export { LoopMetrics, serveMetrics } from './metrics/index.js';
export {
  DenoisingPolicy,
  FAMILY_NAMES,
  type LoadedPolicy,
  type LoadOptions,
  loadPolicy,
  PlanningPolicy,
} from './policies/index.js';
export { RosbridgeRobot, RosbridgeServer } from './rosbridge/index.js';
export { findTask, taskNames } from './sim/tasks.js';
export * from './types/index.js';
