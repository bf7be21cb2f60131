// The physics door and the random generator: reproducible, restorable bit for bit, isolated, and freed.

import { afterEach, expect, test } from 'vitest';
import { Physics } from '../../src/sim/mujoco.js';
import { Random } from '../../src/sim/random.js';
import { findTask, taskNames } from '../../src/sim/tasks.js';
import { TendonError } from '../../src/types/index.js';

const MJCF = `<mujoco><size memory="200K"/><option timestep="0.004"/><worldbody>
  <geom name="floor" type="plane" size="1 1 0.1"/>
  <body name="ball" pos="0 0 0.3"><freejoint/><geom name="ball" type="sphere" size="0.05" mass="0.1"/></body>
  <body name="rod" pos="0 0 0.06"><joint name="hinge" axis="0 0 1" damping="0.1"/>
    <geom name="rod" type="capsule" size="0.02" fromto="0 0 0 0.2 0 0"/></body>
</worldbody><actuator><position name="servo" joint="hinge" kp="5" kv="0.2"/></actuator></mujoco>`;

const open: Physics[] = [];
async function physics(mjcf = MJCF): Promise<Physics> {
  const p = await Physics.create(mjcf);
  open.push(p);
  return p;
}
afterEach(() => {
  for (const p of open.splice(0)) p.dispose();
});

test('the generator is seeded, uniform and normal', () => {
  const [a, b, c] = [new Random(7), new Random(7), new Random(8)];
  const xs = Array.from({ length: 20_000 }, () => a.next());
  expect(xs.slice(0, 100)).toEqual(Array.from({ length: 100 }, () => b.next()));
  expect(xs[0]).not.toBe(c.next());
  expect(Math.min(...xs)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...xs)).toBeLessThan(1);
  const mean = xs.reduce((s, x) => s + x, 0) / xs.length;
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.01);
  const zs = Array.from({ length: 20_000 }, () => a.normal());
  expect(Math.abs(zs.reduce((s, z) => s + z, 0) / zs.length)).toBeLessThan(0.03);
  expect(Math.abs(zs.reduce((s, z) => s + z * z, 0) / zs.length - 1)).toBeLessThan(0.05);
  for (let i = 0; i < 1000; i++) {
    const u = a.uniform(-2, 3);
    expect(u >= -2 && u < 3).toBe(true);
  }
});

test('a restored state goes on bit for bit, in the same model and in another, through contacts', async () => {
  const [p, other] = [await physics(), await physics()];
  p.views().ctrl[0] = 1.2;
  // Into the bounce: the ball lies on the rod and the floor.
  for (let i = 0; i < 90; i++) p.step();
  expect(p.contacts().length).toBeGreaterThan(0);
  const saved = p.save();
  const onwards = (q: Physics): Uint8Array => {
    for (let i = 0; i < 200; i++) q.step();
    return q.save();
  };
  const first = onwards(p);
  p.restore(saved);
  expect(onwards(p)).toEqual(first);
  other.restore(saved);
  expect(onwards(other)).toEqual(first);
});

test('views stay good when the heap grows beneath them', async () => {
  const p = await physics();
  p.step();
  const before = p.views();
  const height = before.qpos[2]!;
  // The length of the memory behind a view; 0 once the heap has moved.
  const bytes = before.qpos.buffer.byteLength;
  expect(bytes).toBeGreaterThan(0);
  for (let i = 0; i < 20 && before.qpos.length > 0; i++) await physics(MJCF.replace('200K', '64M'));
  expect(before.qpos.length).toBe(0);
  expect(p.views().qpos[2]).toBe(height);
  p.step();
  expect(p.views().qpos[2]).toBeLessThan(height);
});

test('dispose gives the memory back: two hundred models fit where a handful would', async () => {
  const heap = async (): Promise<number> => (await physics()).views().qpos.buffer.byteLength;
  for (let i = 0; i < 4; i++) (await Physics.create(MJCF.replace('200K', '16M'))).dispose();
  const before = await heap();
  for (let i = 0; i < 200; i++) (await Physics.create(MJCF.replace('200K', '16M'))).dispose();
  expect(await heap()).toBe(before);
});

test('servo gains and masses are set relative to the text of the model', async () => {
  const turned = async (gain: number): Promise<number> => {
    const p = await physics();
    p.scaleGain(0, 3);
    p.scaleGain(0, gain);
    p.views().ctrl[0] = 1;
    for (let i = 0; i < 25; i++) p.step();
    return p.views().qpos[7]!;
  };
  const [weak, nominal, strong] = [await turned(0.5), await turned(1), await turned(2)];
  expect(weak).toBeLessThan(nominal);
  expect(nominal).toBeLessThan(strong);
});

test('poses are unit quaternions of the geom, for any rotation', async () => {
  const p = await physics();
  const out = new Float32Array(7);
  for (const q of [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
    [0.5, 0.5, -0.5, 0.5],
    [0.1, 0.7, 0.1, 0.7],
  ]) {
    const n = Math.hypot(...q);
    p.views().qpos.set(
      q.map((x) => x / n),
      3,
    );
    p.forward();
    p.geomPose(p.geomId('ball'), out, 0);
    // q and −q are one rotation.
    const dot = q.reduce((s, x, i) => s + (x / n) * out[3 + i]!, 0);
    expect(Math.abs(dot)).toBeCloseTo(1, 5);
  }
});

test('what cannot be is said: a broken text, an unknown name, a state of another model', async () => {
  await expect(Physics.create('<mujoco><nonsense/></mujoco>')).rejects.toThrow(/MJCF does not compile/);
  const p = await physics();
  expect(() => p.bodyId('nobody')).toThrow(/nobody/);
  expect(() => p.restore(new Uint8Array(8))).toThrow(TendonError);
  expect(() => findTask('juggle')).toThrow(/there is no task "juggle"/);
  expect(taskNames()).toContain('arm');
});
