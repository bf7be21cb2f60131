// `tendon inspect` of a world model: every network that the planner uses, at the rows that it uses it for.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Context } from '../../src/cli/command.js';
import { inspect } from '../../src/cli/inspect.js';
import { addon } from '../../src/native/index.js';
import { loadPolicy, PlanningPolicy } from '../../src/policies/index.js';
import { runGraph } from '../golden/golden.js';
import { writeCheckpointOf } from './checkpoints.js';

const folder = mkdtempSync(join(tmpdir(), 'tendon-inspect-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const checkpoint = (family: string): string => {
  const dir = join(folder, family);
  return existsSync(dir) ? dir : writeCheckpointOf(family, dir);
};

async function worldOf(family: string, sampler?: string) {
  const policy = await loadPolicy(checkpoint(family), {
    compute: { precision: 'f32', threads: 1 },
    ...(sampler === undefined ? {} : { sampler }),
  });
  if (!(policy instanceof PlanningPolicy)) throw new Error(`${family} does not plan`);
  return { policy, world: await policy.describeWorld(), whole: await policy.describe() };
}

async function said(dir: string, instructions = false): Promise<string> {
  const lines: string[] = [];
  const values = { policy: dir, threads: '1', instructions, precision: 'f32' };
  const text = (name: string): string => String(Reflect.get(values, name));
  const say = (line: string): unknown => lines.push(line);
  expect(await inspect.run(values, { say, text } as unknown as Context)).toBe(0);
  return lines.join('\n');
}

const APART = ['encoder', 'dynamics', 'reward', 'policy', 'value'];

describe.each([
  ['tdmpc', APART],
  ['tdmpc2', APART],
  // Its reward is read from what the step itself made of the action.
  ['scalezero', ['encoder', 'dynamics+reward', 'policy', 'value']],
])('%s', (family, networks) => {
  it('is taken apart without leaving a parameter out or counting one twice', async () => {
    const { policy, world, whole } = await worldOf(family);
    expect(world.parts.map((p) => p.name)).toEqual(networks);
    const { critics } = (policy as unknown as { family: { networks: { critics: number } } }).family.networks;
    const sum = world.parts.reduce((n, p) => n + p.parameters * (p.name === 'value' ? critics : 1), 0);
    expect(sum).toBe(whole.report.parameters);
    policy.close();
  });

  it('shows each of them and the programs, with what they cost and took', async () => {
    const text = await said(checkpoint(family));
    for (const name of networks.map((n) => n.replace('+', '\\+')))
      expect(text).toMatch(new RegExp(`^  ${name} +\\d+ × \\d+ +\\d+( +[\\d.]+){4} +\\d+$`, 'm'));
    // Its own planner is a tree, which times no instructions.
    const stages = family === 'scalezero' ? [] : ['rollout observation', 'rollout step', 'prior step'];
    for (const stage of stages)
      expect(text).toMatch(new RegExp(`^  ${stage} +\\d+ +\\d+( +[\\d.]+){4}$`, 'm'));
  });
});

it('asks each network as often as the planner does', async () => {
  const { policy, world } = await worldOf('tdmpc2');
  const { horizon, prior, samples, iterations, drawn } = (
    policy as unknown as { table: Record<string, number> }
  ).table as Record<'horizon' | 'prior' | 'samples' | 'iterations' | 'drawn', number>;
  const rows = samples + prior;
  expect(world.iterations).toBe(iterations);
  expect(world.parts.map(({ name, rows, calls }) => [name, rows, calls])).toEqual([
    ['encoder', 1, 1],
    ['dynamics', rows, iterations * horizon],
    ['reward', rows, iterations * horizon],
    ['policy', rows, iterations],
    ['value', rows, iterations * drawn],
  ]);
  const alone = await worldOf('tdmpc2', 'policy');
  expect(alone.world.parts.map(({ calls }) => calls)).toEqual([1, 0, 0, 1, 0]);
  const tree = await worldOf('tdmpc2', 'tree-search');
  expect(tree.world.parts[1]).toMatchObject({ rows: 1, calls: tree.policy.choice.steps });
  expect(tree.world.profile).toBeUndefined();
  for (const { policy } of [alone, tree]) policy.close();
  policy.close();
});

it('its parts are the networks of the rollout: the prior without noise is the greedy action', async () => {
  const { policy, world, whole } = await worldOf('tdmpc2');
  const prior = world.parts.find((p) => p.name === 'policy')!.graph;
  const [state, noise] = prior.nodes.filter((n) => n?.op === 'input').map((n) => n.shape[1]!);
  const latent = addon().philoxNormal(2, 0, 0, state!);
  const { action } = await runGraph(prior, 1, { state: latent, noise: new Float32Array(noise!) });
  const model = await addon().compileModel(whole.graph.native, { precision: 'f32' });
  const session = await model.openSession({ batch: 1, outputs: ['greedy_action'] });
  const { outputs } = await session.run({ latent });
  expect([...action!]).toEqual([...outputs.greedy_action!].map((a) => expect.closeTo(a, 5)));
  policy.close();
});
