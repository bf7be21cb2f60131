// The library: everything a program needs to load a policy, control a robot and evaluate.

export * from './control/index.js';
export { type EvaluateOptions, type Evaluation, evaluatePolicy } from './eval/evaluate.js';
export { openPolicy, physicsPolicy } from './eval/open-policy.js';
export { LastWill, openLog, type RunLog } from './host/index.js';
export { LoopMetrics, serveMetrics } from './metrics/index.js';
export { addon, GraphBuilder, native } from './native/index.js';
export {
  DenoisingPolicy,
  FAMILY_NAMES,
  GoalScorer,
  type ImportOptions,
  importOnnx,
  type LoadedPolicy,
  type LoadOptions,
  ModelPredictivePolicy,
  type MppiOptions,
  mppi,
  PlanningPolicy,
  type Score,
  SequenceSearch,
} from './policies/index.js';
export { exportDataset, Recording, replay, SessionRecorder } from './record/index.js';
export { loadRobotFile, parseRobotFile } from './robot/index.js';
export { RosbridgeRobot, RosbridgeServer } from './rosbridge/index.js';
export { servePolicy } from './serve/index.js';
export * from './session/index.js';
export { findTask, taskNames } from './sim/tasks.js';
export {
  DirectSink,
  DrySink,
  type ExecutedCommand,
  ExecutorSink,
  type ExecutorSinkOptions,
  type GoalPort,
  GoalsSink,
  RealTimeExecutor,
} from './sinks/index.js';
export {
  loadSteered,
  loadSteered as loadPolicy,
  type SteerablePolicy,
  SteeredPolicy,
  type SteeringOptions,
} from './steering/index.js';
export * from './types/index.js';
export { writeOnnx } from './weights/onnx-write.js';
