export { DirectSink } from './direct.js';
export { DrySink } from './dry.js';
export { type ExecutedCommand, offsetOf, RealTimeExecutor } from './executor.js';
export { ExecutorSink, type ExecutorSinkOptions } from './executor-sink.js';
export { PAUSE_PERIODS, type SinkTiming } from './gate.js';
export { type GoalPort, type GoalsOptions, GoalsSink } from './goals.js';
