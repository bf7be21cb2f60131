export * from './adaptive.js';
export * from './diffusers.js';
export * from './diffusion-samplers.js';
export * from './flow.js';
export * from './sigma-samplers.js';
export * from './sigmas.js';
export * from './table.js';
