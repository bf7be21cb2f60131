// Writing safetensors: the header, then tensors piece by piece, so that a checkpoint of any size takes little memory.

import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { TensorRef } from '../native/index.js';
import { withFile } from './source.js';
import { byteLength } from './tensor.js';

/** Numbers of ours (f32), or a tensor that stays as it lies in another file. */
export type TensorSource = TensorRef | { readonly shape: readonly number[]; readonly values: Float32Array };

const PIECE = 8 << 20;

/** Writes beside the file and renames: there is never half a checkpoint under `path`. */
export function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorSource>>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const dtype = 'values' in tensor ? 'F32' : tensor.dtype;
    const end = offset + (byteLength(dtype, tensor.shape) ?? 0);
    header[name] = { dtype, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  const unfinished = `${path}.${process.pid}.part`;
  const file = openSync(unfinished, 'w');
  try {
    const write = (bytes: Buffer): void => {
      for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
    };
    write(length);
    write(Buffer.from(text));
    for (const tensor of Object.values(tensors)) {
      if ('values' in tensor) {
        const { buffer, byteOffset, byteLength: size } = tensor.values;
        write(Buffer.from(buffer, byteOffset, size));
      } else copyTensor(tensor, write);
    }
    closeSync(file);
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

function copyTensor(tensor: TensorRef, write: (bytes: Buffer) => void): void {
  const size = byteLength(tensor.dtype, tensor.shape) ?? 0;
  withFile(tensor.file, (source) => {
    for (let at = 0; at < size; at += PIECE)
      write(source.read(tensor.offset + at, Math.min(PIECE, size - at)));
  });
}
