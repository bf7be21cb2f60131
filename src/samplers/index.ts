export * from './diffusers.js';
export * from './sigma-samplers.js';
export * from './sigmas.js';
export * from './table.js';
