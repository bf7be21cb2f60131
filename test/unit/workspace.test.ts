// The tip of an arm and its box: forward kinematics against a formula, and random targets that never lead out.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { TipPosition } from '../../src/control/kinematics.js';
import { Limiter } from '../../src/control/limiter.js';
import { WorkspaceGuard } from '../../src/control/workspace.js';
import { loadRobotFile } from '../../src/robot/robot-file.js';
import { Random } from '../../src/sim/random.js';

/** An arm of two links of 0.5 m in a plane that is tilted and raised, with a slide at its tip. */
const URDF = `<robot name="arm">
  <joint name="base" type="fixed"><parent link="world"/><child link="base"/><origin xyz="0 0 0.2" rpy="0.3 -0.2 0.7"/></joint>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/><origin xyz="0.1 0 0"/><axis xyz="0 0 2"/><limit lower="-3" upper="3" velocity="2"/></joint>
  <joint name="elbow" type="revolute"><parent link="upper"/><child link="fore"/><origin xyz="0.5 0 0"/><axis xyz="0 0 1"/><limit lower="-3" upper="3" velocity="3"/></joint>
  <joint name="slide" type="prismatic"><parent link="fore"/><child link="tip"/><origin xyz="0.4 0 0"/><axis xyz="1 0 0"/><limit lower="0" upper="0.2" velocity="0.5"/></joint>
  <joint name="finger" type="prismatic"><parent link="tip"/><child link="nail"/><axis xyz="0 0 1"/><limit lower="0" upper="1" velocity="1"/><mimic joint="slide" multiplier="2" offset="0.05"/></joint>
  <joint name="loose" type="floating"><parent link="tip"/><child link="kite"/></joint>
</robot>`;
const folder = mkdtempSync(join(tmpdir(), 'tendon-workspace-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'arm.urdf'), URDF);

function robot(workspace: string, more = '') {
  const file = join(folder, 'arm.yaml');
  writeFileSync(
    file,
    `name: arm
bridge: { url: 'ws://127.0.0.1:9090' }
rate_hz: 50
joint_names: [shoulder, elbow, slide]
limits: { urdf: arm.urdf, acceleration: [10, 10, 5] }
workspace: ${workspace}
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 3 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
${more}`,
  );
  return loadRobotFile(file);
}

/** The tip by the formula of this arm. */
function tipOf([shoulder, elbow, slide]: readonly number[]): number[] {
  const x = 0.1 + 0.5 * Math.cos(shoulder!) + (0.4 + slide!) * Math.cos(shoulder! + elbow!);
  const y = 0.5 * Math.sin(shoulder!) + (0.4 + slide!) * Math.sin(shoulder! + elbow!);
  const rotate = (a: number, [u, v]: readonly [number, number]): [number, number] => [
    Math.cos(a) * u - Math.sin(a) * v,
    Math.sin(a) * u + Math.cos(a) * v,
  ];
  // Roll about x, pitch about y, yaw about z, in this order.
  const [y1, z1] = rotate(0.3, [y, 0]);
  const [z2, x2] = rotate(-0.2, [z1, x]);
  const [x3, y3] = rotate(0.7, [x2, y1]);
  return [x3, y3, z2 + 0.2];
}

const EVERYWHERE = '{ tip: tip, lower: [-9, -9, -9], upper: [9, 9, 9] }';

test('the tip is where the formula says', () => {
  const tip = new TipPosition(robot(EVERYWHERE).workspace!);
  const random = new Random(3);
  for (let i = 0; i < 200; i++) {
    const q = [random.uniform(-3, 3), random.uniform(-3, 3), random.uniform(0, 0.2)];
    expect(tip.outside(q)).toBe(0);
    const want = tipOf(q);
    for (let k = 0; k < 3; k++) expect(tip.position[k]!).toBeCloseTo(want[k]!, 12);
  }
});

test('a link that mimics follows what it mimics', () => {
  const nail = new TipPosition(robot('{ tip: nail, lower: [-9, -9, -9], upper: [9, 9, 9] }').workspace!);
  const tip = new TipPosition(robot(EVERYWHERE).workspace!);
  nail.outside([0.3, 0.4, 0.1]);
  tip.outside([0.3, 0.4, 0.1]);
  expect(Math.hypot(...nail.position.map((v, i) => v - tip.position[i]!))).toBeCloseTo(0.25, 12);
});

describe.each([
  ['with acceleration limits', undefined],
  ['with jerk limits', [80, 80, 40]],
  ['with neither', 'none'],
] as const)('%s', (_, jerk) => {
  const inside = [0.4, 1.2, 0.1];
  const corner = (by: number) => `[${tipOf(inside).map((v) => v + by)}]`;
  const file = robot(`{ tip: tip, lower: ${corner(-0.25)}, upper: ${corner(0.25)} }`);
  const workspace = file.workspace!;
  const limits = jerk === 'none' ? { ...file.limits, acceleration: undefined } : { ...file.limits, jerk };

  test('20,000 targets of any kind never lead the tip out of the box', () => {
    const tip = new TipPosition(workspace);
    expect(tip.outside(inside)).toBe(0);
    const guard = new WorkspaceGuard(workspace, limits, 3);
    const limiter = new Limiter(limits, Float64Array.from(inside));
    const random = new Random(8);
    const desired = new Float64Array(3);
    const target = [0, 0, 0];
    let furthest = 0;
    let kept = 0;
    let moved = 0;
    for (let i = 0; i < 20_000; i++) {
      if (i % 20 === 0) for (let j = 0; j < 3; j++) target[j] = random.uniform(-3, 3);
      desired.set(target);
      const before = limiter.previous[0]!;
      if (guard.keep(limiter, desired, 0.02)) kept++;
      limiter.limit(desired, 0.02, desired);
      moved += Math.abs(limiter.previous[0]! - before);
      furthest = Math.max(furthest, tip.outside(limiter.previous));
    }
    // A step may add SLACK_M of workspace.ts to what was allowed before it.
    expect(furthest).toBeLessThan(1e-5);
    expect(kept).toBeGreaterThan(1000);
    expect(moved).toBeGreaterThan(5);
  });

  test('a robot found outside is let back in, and no further out', () => {
    const tip = new TipPosition(workspace);
    const start = [0.4, 0.4, 0.2];
    const guard = new WorkspaceGuard(workspace, limits, 3);
    const limiter = new Limiter(limits, Float64Array.from(start));
    let last = tip.outside(start);
    expect(last).toBeGreaterThan(0.01);
    for (let i = 0; i < 300; i++) {
      const desired = Float64Array.from(inside);
      guard.keep(limiter, desired, 0.02);
      limiter.limit(desired, 0.02, desired);
      const now = tip.outside(limiter.previous);
      expect(now).toBeLessThanOrEqual(last + 1e-6);
      last = now;
    }
    expect(last).toBe(0);
  });
});

test('what cannot be a workspace is refused when the file is read', () => {
  const box = 'lower: [0, 0, 0], upper: [1, 1, 1]';
  expect(() => robot(`{ tip: hand, ${box} }`)).toThrow('no joint leads to the link hand; there are base');
  expect(() => robot(`{ tip: kite, ${box} }`)).toThrow('loose is floating');
  expect(() => robot(`{ tip: base, ${box} }`)).toThrow('no commanded joint moves');
  expect(() => robot('{ tip: tip, lower: [0, 0, 1], upper: [1, 1, 1] }')).toThrow('lower below upper');
  expect(() => robot(`{ tip: tip, urdf: none.urdf, ${box} }`)).toThrow('none.urdf');
  expect(() => robot(`{ tip: tip, ${box} }`, 'executor: { publish_hz: 50 }')).toThrow('executor');
});
