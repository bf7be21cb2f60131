// HIL-SERL's actor against LeRobot's own class (make/gaussian_actor.py).

import { expect, test } from 'vitest';
import { loadPolicy } from '../../src/policies/index.js';
import { golden, relativeError } from './golden.js';
import { image, shapesOf, withHashed } from './hashed.js';

test.each(['gaussian_actor', 'gaussian_actor_states'])('%s: the action of the peer’s draw', async (name) => {
  const io = golden(name);
  await withHashed({ shapes: shapesOf(name), config: io.config }, {}, async (dir) => {
    const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
    const { spec } = policy;
    const want = io.get('action');
    expect(spec).toMatchObject({ family: 'gaussian_actor', horizon: 1, action_dim: want.length });
    const observation = {
      stamp_ns: 0,
      values: Object.fromEntries(Object.keys(spec.observation_dims).map((key) => [key, io.get(key)])),
      images: Object.fromEntries(
        Object.entries(spec.image_shapes).map(([key, [, height, width]]) => [
          key,
          { height, width, channels: 3 as const, data: image(`${name}/${key}`, height, width) },
        ]),
      ),
    };
    const noise = new Float32Array(want.length);
    noise.set(io.get('noise'));
    const { actions } = await policy.infer(observation, { noise });
    expect(relativeError(actions, want)).toBeLessThan(1e-4);
    // The gripper's choice is a whole number.
    if (want.length > 3) expect(actions[3]).toBe(want[3]);
    policy.close();
  });
});

test('an encoder of the hub, whose code is not here, is refused by its field', async () => {
  const { config } = golden('gaussian_actor');
  const given = { ...config, vision_encoder_name: 'lerobot/resnet10' };
  await withHashed({ shapes: shapesOf('gaussian_actor'), config: given }, {}, async (dir) => {
    await expect(loadPolicy(dir)).rejects.toThrow(/vision_encoder_name/);
  });
});
