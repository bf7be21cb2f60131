// Random weights for a network of any size, as a safetensors file: benches need sizes that nobody can commit.

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { addon, type GraphBuilder, type Value } from '../src/native/index.js';
import { Tensors } from '../src/policies/tensors.js';
import { openSafetensors } from '../src/weights/index.js';

/** Shapes of the tensors that `describe` asks for: a dry run on a recording builder. */
export function wishes(describe: (tensors: Tensors) => unknown): Map<string, readonly number[]> {
  const found = new Map<string, readonly number[]>();
  const probe = new Tensors({ path: 'bench', tensors: new Map(), metadata: {} }, 'bench');
  const zeros = (g: GraphBuilder, shape: readonly number[]): Value =>
    g.constant(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  probe.weight = (g, name, shape) => {
    found.set(name, shape);
    return zeros(g, shape);
  };
  probe.rows = (g, name, shape, _start, count) => {
    found.set(name, shape);
    return zeros(g, [count, ...shape.slice(1)]);
  };
  describe(probe);
  return found;
}

/** A checkpoint of what `describe` asks for. */
export function randomCheckpoint(path: string, describe: (tensors: Tensors) => unknown): Tensors {
  return writeRandom(path, wishes(describe));
}

/** The beginning of a file of f32 tensors, and the bytes that follow it. */
function safetensorsHead(shapes: ReadonlyMap<string, readonly number[]>): {
  readonly head: Buffer;
  readonly bytes: number;
} {
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, shape] of shapes) {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  return { head: Buffer.concat([length, Buffer.from(text)]), bytes: offset };
}

export function writeRandom(path: string, shapes: ReadonlyMap<string, readonly number[]>): Tensors {
  const fd = openSync(path, 'w');
  writeSync(fd, safetensorsHead(shapes).head);
  [...shapes].forEach(([name, shape], i) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = addon().philoxNormal(1, i, 0, count);
    // As a trained network's: 1/√fan-in, and norms that scale by about 1.
    const matrix = name.endsWith('weight') && shape.length > 1 && !isNorm(name);
    const scale = matrix ? 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1)) : 0.1;
    for (let k = 0; k < count; k++) values[k] = values[k]! * scale + (isNorm(name) ? 1 : 0);
    writeSync(fd, Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  });
  closeSync(fd);
  return new Tensors(openSafetensors(path), 'bench');
}

/** Scales of norms, and the variances of batch norms. */
const isNorm = (name: string): boolean =>
  /(^|\.)(block\.1|bn\d|downsample\.1|ln|ln\d|ln_f|norm\d?)\.(weight|running_var)$/.test(name);

/** A file of zeros, of its full size and with nothing on the disk. */
export function writeHoles(file: string, shapes: ReadonlyMap<string, readonly number[]>): void {
  const { head, bytes } = safetensorsHead(shapes);
  const fd = openSync(file, 'w');
  writeSync(fd, head);
  ftruncateSync(fd, head.length + bytes);
  closeSync(fd);
}
