export * from './addon.js';
export * from './adjoint.js';
export * from './compute.js';
export * from './graph.js';
export * from './noise.js';
