export { ManualClock, MonotonicClock } from './clock.js';
export { Controller, type ControllerOptions } from './controller.js';
export { ObservationHistory } from './history.js';
export { checkLimits, LIMITED, Limiter, type Limits } from './limiter.js';
export { ChunkPlayer, type Interpolation } from './player.js';
export { loadRobotFile } from './robot-file.js';
export { LoopStats, Ring } from './stats.js';
export { INTERVENTIONS, type Intervention, type StateChange, Supervisor } from './supervisor.js';
export { CONTROL_EVENTS, type ControlEvent, TRANSITIONS } from './transitions.js';
