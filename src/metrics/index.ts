// The public door of the metrics room.

export { type InterventionReport, watchInterventions } from './interventions.js';
export { type CountedRobot, LoopMetrics, type LoopMetricsOptions } from './loop-metrics.js';
export { type MetricsServer, serveMetrics } from './server.js';
