// Where what was worked out from a checkpoint is kept: merged adapters, numbers brought to float32, imported files.
// $TENDON_CACHE, else $XDG_CACHE_HOME/tendon, else ~/.cache/tendon; each result in a folder named by what it was made of.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { TendonError } from '../types/index.js';
import { withFile } from './source.js';

const PIECE = 8 << 20;

export function cacheDir(): string {
  const { TENDON_CACHE, XDG_CACHE_HOME } = process.env;
  return TENDON_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'tendon');
}

/** What a file is, cheaply: its path, size and time of change. */
export function fileKey(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${path}\0${size}\0${mtimeMs}`;
}

/** SHA-256 of a file's bytes, in hex. */
export function fileHash(path: string): string {
  const hash = createHash('sha256');
  withFile(path, (source) => {
    for (let at = 0; at < source.size; at += PIECE)
      hash.update(source.read(at, Math.min(PIECE, source.size - at)));
  });
  return hash.digest('hex');
}

/**
 * The folder of `kind` for `key`, made by `make` when it is not there yet. `make` writes into a folder of its own, which is
 * renamed when it is whole, so that two processes may do this at once and neither sees half of it.
 */
export function cached(kind: string, key: string, make: (dir: string) => void): string {
  const parent = join(cacheDir(), kind);
  const dir = join(parent, createHash('sha256').update(key).digest('hex').slice(0, 32));
  if (existsSync(dir)) return dir;
  let unfinished: string;
  try {
    mkdirSync(parent, { recursive: true });
    unfinished = mkdtempSync(`${dir}.`);
  } catch (cause) {
    throw new TendonError(
      'file_missing',
      `${parent} cannot be written, and a checkpoint that has to be converted is kept there: ${(cause as Error).message}; set TENDON_CACHE to a folder that can`,
      { dir: parent },
      { cause },
    );
  }
  try {
    make(unfinished);
    renameSync(unfinished, dir);
  } catch (caught) {
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(dir)) throw caught;
  }
  return dir;
}
