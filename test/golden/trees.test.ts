// Trees of arrays from the files that jax, flax and orbax write (test/golden, section Goals), against the lists of paths
// and shapes that were recorded beside them, and against numbers kept as safetensors.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  openFlaxMsgpack,
  openJaxPickle,
  openOrbax,
  openTorch,
  type StoredArray,
} from '../../src/weights/index.js';
import { golden, relativeError } from './golden.js';

/** `path<TAB>(shape)<TAB>dtype` lines of keys.txt. */
function keysOf(name: string): Map<string, string> {
  const text = readFileSync(join(golden(name).dir, 'keys.txt'), 'utf8');
  const rows = text
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
  return new Map(rows.map(([path, shape]) => [path!, shape!.replace(/,\)$/, ')')]));
}
const shapes = (
  arrays: ReadonlyMap<string, Pick<StoredArray, 'shape'>>,
  prefix: string,
): Map<string, string> =>
  new Map(
    [...arrays]
      .filter(([path]) => path.startsWith(prefix))
      .map(([path, { shape }]) => [path.slice(prefix.length), `(${shape.join(', ')})`]),
  );

describe('jax pickles', () => {
  it.each([
    ['ogbench_hiql', 'params_1000000.pkl'],
    ['ogbench_hiql_pixels', 'params_1000000.pkl'],
    ['ogbench_gcbc_discrete', 'params_1000000.pkl'],
    ['ogbench_qrl_iqe', 'params_1000000.pkl'],
    ['hilp_gcrl', 'params_1000000.pkl'],
    ['hiql_original', 'params_500000.pkl'],
  ])('%s: every parameter by its path', (name, file) => {
    const { arrays } = openJaxPickle(join(golden(name).dir, file));
    const got = [...shapes(arrays, 'agent/network/params/')];
    expect(new Map(got)).toEqual(keysOf(name));
    for (const { ref } of arrays.values()) expect(ref).toBeDefined();
  });

  it('keeps the config that HIQL saves inside', () => {
    const { plain } = openJaxPickle(join(golden('hiql_original').dir, 'params_500000.pkl'));
    expect(plain.config).toMatchObject({ use_rep: 1, way_steps: 25 });
  });
});

describe('flax msgpack', () => {
  it('smore: three files', () => {
    const { dir } = golden('smore');
    const all = ['actor', 'critic', 'value'].flatMap((file) =>
      [...shapes(openFlaxMsgpack(join(dir, file)).arrays, '')].map(([path, shape]): [string, string] => [
        `${file}/${path.replace(/^params\//, '')}`,
        shape,
      ]),
    );
    expect(new Map(all)).toEqual(keysOf('smore'));
  });
});

describe('torch objects', () => {
  it('hilp_zsrl: tensors of pickled modules under the names of their state_dicts', () => {
    const { tensors } = openTorch(join(golden('hilp_zsrl').dir, 'latest.pt'));
    const got = shapes(tensors, 'agent.');
    for (const [path, shape] of keysOf('hilp_zsrl')) expect([path, got.get(path)]).toEqual([path, shape]);
  });
});

describe('orbax', () => {
  const { dir, get } = golden('orbax_params');
  it('zarr: every array, bfloat16 too', () => {
    const { arrays } = openOrbax(join(dir, 'zarr'));
    expect(shapes(arrays, '')).toEqual(keysOf('orbax_params'));
    for (const [path, array] of arrays)
      expect([path, relativeError(array.numbers(), get(path))]).toEqual([path, 0]);
  });

  it('OCDBT is refused by name', () => {
    expect(() => openOrbax(join(dir, 'ocdbt'))).toThrow(/OCDBT/);
  });
});
