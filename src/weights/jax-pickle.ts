// Training checkpoints of the jax lineage of OGBench (params_<step>.pkl: OGBench, SAW, OTA, HIQL, HILP, FQL, QC): a pickled
// dict of nested dicts whose leaves are jax or numpy arrays. Read by the interpreter that names tensors (pickle.ts):
// nothing is imported or run, and another global than those of arrays is refused by name.

import { TendonError } from '../types/index.js';
import { type ArrayFile, arrayInFile, arrayInMemory, type StoredArray } from './arrays.js';
import { type PickleValue, readPickle } from './pickle.js';
import { type Plain, pickledArray, plainOf } from './python.js';
import { type ByteSource, corrupt, withFile } from './source.js';

const MAX_BYTES = 2 ** 31 - 1;
const MAX_DEPTH = 64;
const MAX_ARRAYS = 100_000;

export interface JaxPickle extends ArrayFile {
  /** The top-level dict's plain entries, such as HIQL's `config`; arrays are left out. */
  readonly plain: Readonly<Record<string, Plain>>;
}

export const openJaxPickle = (path: string): JaxPickle => withFile(path, readJaxPickle);

/** Paths join keys by `/`, e.g. agent/network/params/modules_actor/mean_net/kernel. */
export function readJaxPickle(source: ByteSource): JaxPickle {
  if (source.size > MAX_BYTES)
    throw new TendonError(
      'unsupported',
      `${source.path} has ${source.size} bytes; pickles up to ${MAX_BYTES} are read`,
      { path: source.path },
    );
  const file = source.read(0, source.size);
  const root = readPickle(source, file);
  if (!(root instanceof Map)) throw corrupt(source, 'expected a pickled dict of arrays');
  const arrays = new Map<string, StoredArray>();
  const seen = new Set<object>();
  const visit = (value: PickleValue, path: string, depth: number): void => {
    if (depth > MAX_DEPTH) throw corrupt(source, `its dicts are nested more than ${MAX_DEPTH} deep`);
    const array = pickledArray(value);
    if (array !== undefined) {
      if (arrays.size >= MAX_ARRAYS) throw corrupt(source, `it has more than ${MAX_ARRAYS} arrays`);
      const { shape, dtype, bytes, columns } = array;
      const inFile = bytes.buffer === file.buffer && !(columns && shape.length > 1);
      const offset = bytes.byteOffset - file.byteOffset;
      arrays.set(
        path,
        inFile
          ? arrayInFile({ name: path, shape, dtype, file: source.path, offset })
          : arrayInMemory(path, dtype, shape, bytes, columns),
      );
      return;
    }
    if (!(value instanceof Map) && !Array.isArray(value)) return;
    if (seen.has(value)) return;
    seen.add(value);
    const children = value instanceof Map ? [...value] : value.map((v, i) => [i, v] as const);
    for (const [key, child] of children)
      if (typeof key === 'string' || typeof key === 'number')
        visit(child, path === '' ? String(key) : `${path}/${key}`, depth + 1);
  };
  visit(root, '', 0);
  if (arrays.size === 0) throw corrupt(source, 'it holds no arrays');
  const plain = plainOf(root);
  return { path: source.path, arrays, plain: isObject(plain) ? plain : {} };
}

const isObject = (value: Plain | undefined): value is { [key: string]: Plain } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
