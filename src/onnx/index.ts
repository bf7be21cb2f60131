// Any exported network as a graph of ours (docs/onnx.md): with stages and fusion, or, where it uses what the core cannot
// compile, whole on onnxruntime-node.

import type { GraphBuilder } from '../native/index.js';
import { openOnnx } from '../weights/index.js';
import { Importer, type ImportOptions } from './importer.js';

export { Importer, type ImportOptions } from './importer.js';

/**
 * The graph of an ONNX file (opset 13 to 21). Inputs begin with the batch, 1 or open. Throws `unsupported` naming the op
 * and node that cannot be read, `file_corrupt` for a damaged file.
 */
export function importOnnx(path: string, options: ImportOptions = {}): GraphBuilder {
  return new Importer(openOnnx(path), options).run();
}
