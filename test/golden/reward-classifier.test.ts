// LeRobot's reward classifiers against its own class (make/reward_classifier.py), and that nothing they say moves a robot.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkPolicy } from '../../src/inspect/check.js';
import { loadPolicy } from '../../src/policies/index.js';
import type { Observation } from '../../src/types/index.js';
import { writeSafetensors } from '../../src/weights/index.js';
import { golden, relativeError } from './golden.js';
import { image, type Keys, shapesOf, withHashed } from './hashed.js';

/** As LeRobot saves the classifier's own processors: pictures of mean 0.5 and deviation 0.25. */
function writeProcessors(dir: string, config: Record<string, unknown>): void {
  const stat = (value: number) => ({ shape: [3, 1, 1], values: new Float32Array(3).fill(value) });
  writeSafetensors(join(dir, 'stats.safetensors'), {
    'observation.image.mean': stat(0.5),
    'observation.image.std': stat(0.25),
  });
  const normalize = (features: unknown) => ({
    registry_name: 'normalizer_processor',
    config: { eps: 1e-8, features, norm_map: config.normalization_mapping },
    state_file: 'stats.safetensors',
  });
  const device = { registry_name: 'device_processor', config: { device: 'cpu', float_dtype: null } };
  const pre = [normalize(config.input_features), normalize(config.output_features), device];
  const post = [device, { registry_name: 'identity_processor', config: {} }];
  for (const [kind, steps] of [
    ['pre', pre],
    ['post', post],
  ] as const) {
    const name = `classifier_${kind}processor`;
    writeFileSync(join(dir, `${name}.json`), JSON.stringify({ name, steps }));
  }
}

const opened = <T>(
  name: string,
  use: (dir: string) => Promise<T>,
  changes: Record<string, unknown> = {},
  shapes: Keys['shapes'] = shapesOf(name),
): Promise<T> => {
  const config: Record<string, unknown> = { ...golden(name).config, ...changes };
  return withHashed({ shapes, config }, {}, (dir) => {
    if (name === 'reward_classifier_clip') writeProcessors(dir, config);
    return use(dir);
  });
};

const seen = (name: string, shapes: Readonly<Record<string, readonly number[]>>): Observation => ({
  stamp_ns: 0,
  values: {},
  images: Object.fromEntries(
    Object.entries(shapes).map(([key, [, height, width]]) => [
      key,
      { height: height!, width: width!, channels: 3, data: image(`${name}/${key}`, height!, width!) },
    ]),
  ),
});

describe.each([
  ['reward_classifier', ['success']],
  ['reward_classifier_bottleneck', ['success']],
  ['reward_classifier_clip', ['class 0', 'class 1', 'class 2']],
])('%s', (name, scores) => {
  test('the probabilities of the peer’s pictures', () =>
    opened(name, async (dir) => {
      const scorer = await loadPolicy(dir, { compute: { precision: 'f32' }, scorer: true });
      expect(scorer.spec).toMatchObject({ family: 'reward_classifier', scores });
      const { actions } = await scorer.infer(seen(name, scorer.spec.image_shapes));
      expect(relativeError(actions, golden(name).get('scores'))).toBeLessThan(1e-4);
      scorer.close();
    }));

  test('is checked, and is no policy', () =>
    opened(name, async (dir) => {
      const report = await checkPolicy(dir, { compute: { precision: 'f32' } });
      expect(report.on_noise).toMatchObject({ finite: true });
      expect(report.on_noise.lowest).toBeGreaterThanOrEqual(0);
      expect(report.on_noise.highest).toBeLessThanOrEqual(1);
      await expect(loadPolicy(dir)).rejects.toThrow(/no actions for a robot.*scorer: true/);
    }));
});

test('weights that keep every name of the shared encoder', () => {
  const name = 'reward_classifier';
  const shapes = new Map(shapesOf(name));
  for (const [key, shape] of shapesOf(name))
    if (key.startsWith('encoder.'))
      for (const camera of ['front', 'wrist'])
        shapes.set(`encoders.observation_images_${camera}.0.${key.slice('encoder.'.length)}`, shape);
  return opened(
    name,
    async (dir) => {
      const scorer = await loadPolicy(dir, { compute: { precision: 'f32' }, scorer: true });
      const { actions } = await scorer.infer(seen(name, scorer.spec.image_shapes));
      expect(relativeError(actions, golden(name).get('scores'))).toBeLessThan(1e-4);
      scorer.close();
    },
    {},
    shapes,
  );
});

describe('what is not built is said', () => {
  const refused = (
    name: string,
    message: RegExp,
    changes: Record<string, unknown>,
    shapes?: Keys['shapes'],
  ) =>
    opened(
      name,
      (dir) => expect(loadPolicy(dir, { scorer: true })).rejects.toThrow(message),
      changes,
      shapes,
    );

  test('an encoder that is code of the Hub', () => {
    const renamed = [...shapesOf('reward_classifier')].map(
      ([key, shape]) => [key.replace('embedder.embedder.', 'embedder.'), shape] as const,
    );
    return refused(
      'reward_classifier',
      /layers of lerobot\/resnet10 are code of the Hub.*microsoft\/resnet-18/,
      { model_name: 'lerobot/resnet10' },
      new Map(renamed),
    );
  });
  test('a transformer whose heads nobody says', () =>
    refused('reward_classifier_clip', /vision encoder some\/tower: .*clip_config\.json/, {
      model_name: 'some/tower',
    }));
  test('another number of cameras than there are', () =>
    refused('reward_classifier', /num_cameras: expected 2, .* got 1/, { num_cameras: 1 }));
  test('an encoder of the other kind', () =>
    refused('reward_classifier', /of another kind/, { model_type: 'transformer' }));
});
