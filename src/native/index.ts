export * from './addon.js';
export * from './graph.js';
