// Where the bytes of a weight file come from: a file that is read in small pieces, or memory in tests. Every read is
// checked against the size, so that no offset in a file can point outside it.

import { closeSync, readSync } from 'node:fs';
import { openUserFile } from '../base/files.js';
import { TendonError } from '../types/index.js';

export interface ByteSource {
  readonly path: string;
  readonly size: number;
  /** `count` bytes from `at`; `file_corrupt` when the file does not have them. */
  read(at: number, count: number): Buffer;
}

export function corrupt(source: ByteSource, what: string): TendonError {
  return new TendonError('file_corrupt', `${source.path} is damaged or truncated: ${what}`, {
    path: source.path,
  });
}

function checkRange(source: ByteSource, at: number, count: number): void {
  if (!(at >= 0 && count >= 0 && Number.isSafeInteger(at + count)) || at + count > source.size)
    throw corrupt(source, `bytes ${at} to ${at + count} are needed, it has ${source.size}`);
}

export function memorySource(path: string, bytes: Buffer): ByteSource {
  const source: ByteSource = {
    path,
    size: bytes.length,
    read(at, count) {
      checkRange(source, at, count);
      return bytes.subarray(at, at + count);
    },
  };
  return source;
}

/** Opens the file for as long as `use` runs. */
export function withFile<T>(path: string, use: (source: ByteSource) => T): T {
  const { fd, size } = openUserFile(path, 'weights');
  try {
    const source: ByteSource = {
      path,
      size,
      read(at, count) {
        checkRange(source, at, count);
        const buffer = Buffer.alloc(count);
        for (let done = 0; done < count; ) {
          const got = readSync(fd, buffer, done, count - done, at + done);
          if (got === 0) throw corrupt(source, 'it ended while being read');
          done += got;
        }
        return buffer;
      },
    };
    return use(source);
  } finally {
    closeSync(fd);
  }
}
