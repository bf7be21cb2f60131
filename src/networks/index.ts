export * from './attention.js';
export * from './compose.js';
export * from './masks.js';
export * from './resize.js';
export * from './resnet.js';
export * from './sine-positions.js';
export * from './spatial-softmax.js';
export * from './unet.js';
export type * from './weights.js';
