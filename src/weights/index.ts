export * from './onnx-read.js';
export * from './python.js';
export * from './safetensors.js';
export * from './safetensors-write.js';
export * from './tensor.js';
export * from './torch.js';
