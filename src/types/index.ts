export * from './errors.js';
export * from './executor.js';
export { lazily, packageWhenNeeded } from './lazy.js';
export * from './live.js';
export * from './ports.js';
export * from './robot-file.js';
export * from './tap.js';
export * from './teleop.js';
export * from './values.js';
