// The one place that opens a file a user has named or brought: a regular file, of a size that its kind can have, and no
// text of it in an error, for the name may be a link to somebody's secrets.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { TendonError } from '../types/index.js';

/** What a kind of file is called in an error, and the most bytes that one can have. */
export const FILE_KINDS = {
  robot_file: { called: 'a robot file', most: 1 << 20 },
  urdf: { called: 'a URDF', most: 64 << 20 },
  config: { called: 'a configuration', most: 16 << 20 },
  tokenizer: { called: 'a tokenizer', most: 64 << 20 },
  certificate: { called: 'a certificate file', most: 4 << 20 },
  secret: { called: 'a file with a secret', most: 4096 },
  // Read in pieces: their size is the disk's affair.
  weights: { called: 'a weight file', most: Number.POSITIVE_INFINITY },
  recording: { called: 'a recording', most: Number.POSITIVE_INFINITY },
} as const;
export type FileKind = keyof typeof FILE_KINDS;

/** A file open for reading. Whoever opened it closes `fd`. */
export interface OpenFile {
  readonly fd: number;
  readonly size: number;
}

/** First line of what git-lfs leaves in the place of a file that was not downloaded. */
const LFS_POINTER = 'version https://git-lfs.github.com/spec/v1';
const LARGEST_POINTER = 1024;

/**
 * Opens a regular file. Throws `file_missing` when it cannot be opened (`hint` says what to try), and `file_unsafe` for
 * a directory, a pipe, a socket, a device, a file above its kind's limit, or the pointer that git-lfs leaves.
 */
export function openUserFile(path: string, kind: FileKind, hint = ''): OpenFile {
  const { called, most } = FILE_KINDS[kind];
  const fd = open(path, called, hint);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile())
      throw new TendonError('file_unsafe', `${path} is ${kindOf(stat)}; expected ${called}: a regular file`, {
        path,
      });
    if (stat.size > most)
      throw new TendonError(
        'file_unsafe',
        `${path} has ${stat.size} bytes; expected ${called} of at most ${most}`,
        { path, size: stat.size },
      );
    if (stat.size <= LARGEST_POINTER)
      refuseLfsPointer(path, readUpTo(fd, LARGEST_POINTER).toString('latin1'));
    return { fd, size: stat.size };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The whole of a file. Throws as `openUserFile`. */
export function readUserFile(path: string, kind: FileKind, hint = ''): Buffer {
  const { called, most } = FILE_KINDS[kind];
  const { fd } = openUserFile(path, kind, hint);
  try {
    // Not `size` bytes: a file of /proc says 0, and one that is being written grows.
    const bytes = readUpTo(fd, Math.min(most, Number.MAX_SAFE_INTEGER) + 1);
    if (bytes.length <= most) return bytes;
    throw new TendonError(
      'file_unsafe',
      `${path} does not end; expected ${called} of at most ${most} bytes`,
      {
        path,
      },
    );
  } catch (cause) {
    if (cause instanceof TendonError) throw cause;
    throw missing(path, hint, cause);
  } finally {
    closeSync(fd);
  }
}

/** The whole of a text file in UTF-8. Throws as `openUserFile`. */
export function readUserText(path: string, kind: FileKind, hint = ''): string {
  return readUserFile(path, kind, hint).toString('utf8');
}

function open(path: string, called: string, hint: string): number {
  try {
    // A pipe without a writer would otherwise wait for one here.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    // A socket cannot be opened at all.
    if ((cause as NodeJS.ErrnoException).code === 'ENXIO')
      throw new TendonError(
        'file_unsafe',
        `${path} is a socket or device; expected ${called}: a regular file`,
        {
          path,
        },
      );
    throw missing(path, hint, cause);
  }
}

function missing(path: string, hint: string, cause: unknown): TendonError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const why = REASONS[code] ?? code;
  const sentence = `${path} cannot be read: ${why}.${hint === '' ? '' : ` ${hint}`}`;
  return new TendonError('file_missing', sentence, { path, code }, { cause });
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory (ENOENT)',
  ENOTDIR: 'a part of its path is no directory (ENOTDIR)',
  EACCES: 'permission denied (EACCES)',
  EPERM: 'not permitted (EPERM)',
  ELOOP: 'its links go round in a circle (ELOOP)',
  EMFILE: 'too many files are open (EMFILE)',
  ENAMETOOLONG: 'the name is too long (ENAMETOOLONG)',
};

function kindOf(stat: ReturnType<typeof fstatSync>): string {
  if (stat.isDirectory()) return 'a directory';
  if (stat.isFIFO()) return 'a pipe';
  if (stat.isSocket()) return 'a socket';
  return 'a device';
}

function refuseLfsPointer(path: string, head: string): void {
  if (!head.startsWith(LFS_POINTER)) return;
  const size = /\nsize (\d+)/.exec(head)?.[1];
  const bytes = size === undefined ? '' : ` of ${size} bytes`;
  throw new TendonError(
    'file_missing',
    `${path} is a git-lfs pointer: the file${bytes} it stands for was not downloaded. Run git lfs pull in its repository, or download the file itself.`,
    { path },
  );
}

/** Bytes from the start of the file to its end, at most `most`. */
function readUpTo(fd: number, most: number): Buffer {
  const pieces: Buffer[] = [];
  let at = 0;
  while (at < most) {
    const piece = Buffer.allocUnsafe(Math.min(1 << 16, most - at));
    const got = readSync(fd, piece, 0, piece.length, at);
    if (got === 0) break;
    pieces.push(piece.subarray(0, got));
    at += got;
  }
  return Buffer.concat(pieces);
}
