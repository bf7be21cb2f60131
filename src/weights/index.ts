export * from './onnx-read.js';
export * from './safetensors.js';
export * from './tensor.js';
export * from './torch.js';
