// Waypoints of an arm's tip against a recording of diffusion_policy's PoseTrajectoryInterpolator (test/golden/
// dp_pose_interpolator): thirty waypoints, some past, some too fast, and twelve poses after each.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PoseTrajectory } from '../../src/control/index.js';
import { angleBetween, toQuaternion } from '../../src/control/pose.js';
import { golden } from './golden.js';

const { dir, config } = golden('dp_pose_interpolator');

/** The recorded numbers as they are: our own reader gives f32. */
function doubles(name: string): Float64Array {
  const file = readFileSync(join(dir, 'io.safetensors'));
  const size = Number(file.readBigUInt64LE(0));
  const [from, to] = JSON.parse(file.toString('utf8', 8, 8 + size))[name].data_offsets;
  return new Float64Array(
    file.buffer.slice(file.byteOffset + 8 + size + from, file.byteOffset + 8 + size + to),
  );
}

test('every pose is the recorded one', () => {
  const { max_pos_speed, max_rot_speed } = config as Record<string, number>;
  const events = doubles('events');
  const samples = doubles('samples');
  let trajectory = PoseTrajectory.at(samples[0]!, [...samples.slice(1, 7)]);
  let last_s = 0;
  let sample = 0;
  let far = 0;
  let turned = 0;
  for (let i = 0; i < events.length; i += 8) {
    const [now_s, time_s] = [events[i]!, events[i + 1]!];
    const pose = [...events.slice(i + 2, i + 8)];
    trajectory = trajectory.to(pose, time_s, now_s, last_s, max_pos_speed!, max_rot_speed!);
    last_s = time_s;
    for (let k = 0; k < 12; k++, sample++) {
      const want = samples.slice(7 * sample, 7 * sample + 7);
      const got = trajectory.pose(want[0]!);
      far = Math.max(far, Math.hypot(...[0, 1, 2].map((j) => got[j]! - want[1 + j]!)));
      turned = Math.max(
        turned,
        angleBetween(toQuaternion(got, 3, 'rotation_vector'), toQuaternion(want, 4, 'rotation_vector')),
      );
    }
  }
  expect(sample).toBe(360);
  expect(far).toBeLessThan(1e-12);
  // An angle of nothing comes out of an arc tangent of rounding.
  expect(turned).toBeLessThan(1e-7);
});
