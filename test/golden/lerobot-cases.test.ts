// Folders that LeRobot's own classes saved (7427f318), with observations, the draws they made and the actions they gave:
// group norms other than 8, torch.compile's names, shards, steps that do nothing, steps that are off, an adapter of PEFT.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test, vi } from 'vitest';
import { loadPolicy } from '../../src/policies/index.js';
import { openSafetensors, readTensor } from '../../src/weights/index.js';
import { relativeError } from './golden.js';

interface Case {
  readonly folder?: string;
  readonly calls: readonly {
    readonly history: readonly { readonly values: readonly string[] }[];
    readonly draws: readonly string[];
  }[];
}

const cache = mkdtempSync(join(tmpdir(), 'tendon-cases-'));
vi.stubEnv('TENDON_CACHE', cache);
afterAll(() => rmSync(cache, { recursive: true, force: true }));

const root = fileURLToPath(new URL('lerobot_cases', import.meta.url));

test.each(readdirSync(root).filter((name) => existsSync(join(root, name, 'case.json'))))(
  '%s gives the actions that LeRobot gave',
  async (name) => {
    const dir = join(root, name);
    const { calls, folder = 'pretrained_model' } = JSON.parse(
      readFileSync(join(dir, 'case.json'), 'utf8'),
    ) as Case;
    const io = openSafetensors(join(dir, 'io.safetensors')).tensors;
    const get = (key: string): Float32Array => readTensor(io.get(key)!);
    const policy = await loadPolicy(join(dir, folder), { compute: { precision: 'f32' } });
    policy.reset(1);
    expect(calls.length).toBeGreaterThan(0);
    for (const [i, { history }] of calls.entries()) {
      const observations = history.map(({ values }, j) => ({
        stamp_ns: i * 1e9 + j,
        values: Object.fromEntries(values.map((key) => [key, get(`call${i}.obs${j}.${key}`)])),
      }));
      const { actions } = await policy.infer(observations, { noise: get(`call${i}.draw0`) });
      const want = get(`call${i}.want`);
      expect(relativeError(actions.slice(0, want.length), want)).toBeLessThan(1e-5);
    }
    policy.close();
  },
);
