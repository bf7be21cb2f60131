// The configuration that a training left beside its weights: .hydra/config.yaml or config.yaml, in the folder of the file or in
// one of the two above it.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readUserText } from '../../base/files.js';
import { parseYaml, plainYaml } from '../../base/yaml.js';
import type { Plain } from '../../weights/index.js';
import { Hydra, isDict } from './hydra.js';

const NAMES = ['.hydra/config.yaml', 'config.yaml'];

/** undefined when there is none. References are followed; `???`, which hydra fills in at run time, is left out. */
export function configBeside(path: string): Hydra | undefined {
  let dir = dirname(path);
  for (let up = 0; up < 3; up++, dir = dirname(dir))
    for (const name of NAMES) {
      const file = join(dir, name);
      if (!existsSync(file)) continue;
      const root = known(plainYaml(parseYaml(readUserText(file, 'config'), file)) as Plain);
      if (isDict(root)) return new Hydra(file, root);
    }
  return undefined;
}

function known(value: Plain): Plain {
  if (Array.isArray(value)) return value.map(known);
  if (!isDict(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === '???' ? [] : [[key, known(inner)]])),
  );
}
