// LeRobot's multi-task diffusion transformer against its own class (make/multi_task_dit.py).

import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadPolicy } from '../../src/policies/index.js';
import { TextEncoder } from '../../src/policies/vla/text.js';
import type { Observation } from '../../src/types/index.js';
import { golden, relativeError } from './golden.js';
import { image, type Keys, shapesOf, withHashed } from './hashed.js';

const CASES = ['multi_task_dit', 'multi_task_dit_flow'];
const CAMERAS = ['observation.images.front', 'observation.images.wrist'];

const taskOf = (name: string): string =>
  JSON.parse(readFileSync(join(golden(name).dir, 'task.json'), 'utf8')) as string;

/** The case's folder, and `use` with it. */
const opened = <T>(name: string, use: (dir: string) => Promise<T>, changes: Partial<Keys> = {}): Promise<T> =>
  withHashed({ shapes: shapesOf(name), config: golden(name).config, ...changes }, {}, (dir) => {
    for (const part of ['tokenizer', 'clip_config.json'])
      cpSync(join(golden(name).dir, part), join(dir, part), { recursive: true });
    return use(dir);
  });

function history(name: string, [height, width]: readonly [number, number]): Observation[] {
  const state = golden(name).get('observation.state');
  return [0, 1].map((i) => ({
    stamp_ns: i * 1e8,
    values: { 'observation.state': state.slice(i * 5, i * 5 + 5) },
    images: Object.fromEntries(
      CAMERAS.map((key) => [
        key,
        { height, width, channels: 3 as const, data: image(`${name}/${key}/${i}`, height, width) },
      ]),
    ),
  }));
}

async function chunk(name: string, dir: string): Promise<Float32Array> {
  const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
  const [, height, width] = policy.spec.image_shapes[CAMERAS[0]!]!;
  const noise = golden(name).get('noise');
  const { actions } = await policy.infer(history(name, [height, width]), { task: taskOf(name), noise });
  policy.close();
  return actions;
}

describe.each(CASES)('%s', (name) => {
  test('the chunk of the peer’s noise', async () => {
    const want = golden(name).get('actions');
    await opened(name, async (dir) => {
      const actions = await chunk(name, dir);
      expect(relativeError(actions.subarray(0, want.length), want)).toBeLessThan(1e-4);
    });
  });

  test('reads the task as the peer’s tokenizer does, its end kept where it is cut', () => {
    const table = { name: '', shape: [1000, 1], dtype: 'F32', file: '', offset: 0 };
    const text = TextEncoder.open([golden(name).dir], undefined, 'the model', table, {
      ...{ length: 12, scale: 1, truncate: 'right', keep_end: true },
    });
    const want = [...golden(name).get('ids')];
    const ids = text.ids(taskOf(name));
    // The peer's padding is the end's own token.
    expect([...ids, ...want.slice(ids.length)]).toEqual(want);
    expect(ids.at(-1)).toBe(want.at(-1));
    expect(ids.indexOf(ids.at(-1)!)).toBe(ids.length - 1);
  });
});

test('the names that transformers before 5 gives the towers', async () => {
  const name = 'multi_task_dit';
  const old = (key: string): string =>
    key
      .replace('vision_encoder.model.', 'vision_encoder.model.vision_model.')
      .replace('text_encoder.text_encoder.', 'text_encoder.text_encoder.text_model.');
  const shapes = new Map([...shapesOf(name)].map(([key, shape]) => [old(key), shape]));
  await opened(
    name,
    async (dir) => {
      expect((await chunk(name, dir)).every(Number.isFinite)).toBe(true);
    },
    { shapes },
  );
});

describe('what is missing or not built is said', () => {
  const refused = (change: (dir: string) => void, message: RegExp, config: Record<string, unknown> = {}) =>
    opened(
      'multi_task_dit',
      async (dir) => {
        change(dir);
        await expect(loadPolicy(dir)).rejects.toThrow(message);
      },
      { config: { ...golden('multi_task_dit').config, ...config } },
    );
  const nothing = (): void => {};

  test('a tokenizer that is not in the folder: where it is put', () =>
    refused(
      (dir) => rmSync(join(dir, 'tokenizer'), { recursive: true }),
      /copy tokenizer\.json .* of some\/clip/,
    ));
  test('encoders whose heads nobody says: where their config.json is put', () =>
    refused((dir) => rmSync(join(dir, 'clip_config.json')), /encoder some\/clip: .*as clip_config\.json/));
  test('heads that do not divide the width', () =>
    refused((dir) => {
      const odd = { num_attention_heads: 5 };
      writeFileSync(join(dir, 'clip_config.json'), JSON.stringify({ text_config: {}, vision_config: odd }));
    }, /vision encoder is 64 wide, which 5 heads do not divide/));
  test('Runge-Kutta steps', () => refused(nothing, /rk4 is not built/, { integration_method: 'rk4' }));
  test('padding on the left', () => refused(nothing, /expected "right"/, { tokenizer_padding_side: 'left' }));
  test('more tokens than the text encoder has places', () =>
    refused(nothing, /room for 16 tokens, got 20/, { tokenizer_max_length: 20 }));
  test('no words', () =>
    opened('multi_task_dit', async (dir) => {
      const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
      await expect(policy.infer(history('multi_task_dit', [60, 80]))).rejects.toThrow(/task: .*in words/);
      policy.close();
    }));
});
