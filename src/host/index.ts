export { examine, type Machine } from './doctor.js';
export { LastWill, type LastWords } from './last-will.js';
export { openLog, type RunLog, SILENT } from './log.js';
export { MachineLimits } from './machine-limits.js';
export { type MachineReport, MachineWatch } from './machine-watch.js';
export { Output } from './output.js';
export { collectGarbage, preferControl } from './priority.js';
export { ServiceManager } from './service.js';
