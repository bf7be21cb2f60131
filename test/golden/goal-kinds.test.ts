// Goals, subgoals, routes and progress as a manifest lists them, on the authors' agents (test/golden: hilp_*, ogbench_hiql,
// ttgs_hiql): what the policy is given, what is said, and what becomes of failures.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ProgressSaid, RouteSaid, SubgoalSaid } from '../../src/parts/index.js';
import { loadSteered, type SteerablePolicy } from '../../src/steering/index.js';
import type { ActionChunk, PolicyState } from '../../src/types/index.js';
import { writeSafetensors } from '../../src/weights/index.js';
import { type Golden, golden, relativeError } from './golden.js';

const BAR = 1e-5;

const rows = (io: Golden, name: string): Float32Array[] => {
  const [n, ...rest] = io.shape(name);
  const width = rest.reduce((a, b) => a * b, 1);
  const all = io.get(name);
  return Array.from({ length: n! }, (_, i) => all.slice(i * width, (i + 1) * width));
};

interface Given {
  readonly config?: object;
  readonly parts: Readonly<Record<string, object>>;
  readonly tensors?: Readonly<Record<string, { shape: readonly number[]; values: Float32Array }>>;
}

/** The case's policy with these parts; `tensors` lie beside it as memory.safetensors. */
async function withParts<T>(
  name: string,
  { config = { type: 'actor' }, parts, tensors }: Given,
  use: (policy: SteerablePolicy) => Promise<T>,
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-goals-'));
  try {
    cpSync(golden(name).dir, dir, { recursive: true });
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
    writeFileSync(join(dir, 'steering.json'), JSON.stringify({ parts }));
    if (tensors !== undefined) writeSafetensors(join(dir, 'memory.safetensors'), tensors);
    const policy = await loadSteered(dir, { compute: { precision: 'f32' } });
    try {
      return await use(policy);
    } finally {
      policy.close();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** One episode: an answer for each state. */
async function drive(
  policy: SteerablePolicy,
  states: readonly Float32Array[],
  goal: Float32Array | undefined,
): Promise<ActionChunk[]> {
  policy.reset(1);
  const chunks: ActionChunk[] = [];
  let state: PolicyState | undefined;
  for (const [i, row] of states.entries()) {
    const values = { 'observation.state': row, ...(goal === undefined ? {} : { goal }) };
    const chunk = await policy.infer({ stamp_ns: i, values }, { state });
    state = chunk.state;
    chunks.push(chunk);
  }
  return chunks;
}

const actionsOf = (chunks: readonly ActionChunk[]): number[] => chunks.flatMap(({ actions }) => [...actions]);
const said = <T>(chunk: ActionChunk, name: string): T => chunk.steering!.said![name] as T;

describe('the goal part: HILP’s three prompts', () => {
  it('by way of what was seen, at every step', async () => {
    const io = golden('hilp_gcrl');
    await withParts(
      'hilp_gcrl',
      {
        config: { type: 'actor', given: 'subgoal' },
        parts: {
          prompt: {
            kind: 'goal',
            direction: { states: 'memory.safetensors', recursions: 3, neighbours: 5 },
          },
        },
        tensors: { states: { shape: [40, 30], values: io.get('plan.examples') } },
      },
      async (policy) => {
        const chunks = await drive(policy, rows(io, 'episode.observations'), io.get('episode.goal'));
        expect(relativeError(actionsOf(chunks), io.get('plan.actions'))).toBeLessThan(BAR);
      },
    );
  });

  it('straight to the goal, which equals the agent’s own actions', async () => {
    const io = golden('hilp_gcrl');
    await withParts(
      'hilp_gcrl',
      { config: { type: 'actor', given: 'subgoal' }, parts: { prompt: { kind: 'goal', direction: {} } } },
      async (policy) => {
        const chunks = await drive(policy, rows(io, 'episode.observations'), io.get('episode.goal'));
        expect(relativeError(actionsOf(chunks), io.get('episode.actions'))).toBeLessThan(BAR);
        // There already: no direction is left, and the robot is held rather than given NaN.
        const [state] = rows(io, 'episode.observations');
        const [there] = await drive(policy, [state!], state);
        expect(there!.steering!.hold).toMatch(/reached/);
      },
    );
  });

  it('by rewards of recorded states, once', async () => {
    const io = golden('hilp_zsrl');
    await withParts(
      'hilp_zsrl',
      {
        config: { type: 'actor', given: 'subgoal' },
        parts: { prompt: { kind: 'goal', from: { rewards: 'memory.safetensors' } } },
        tensors: {
          states: { shape: [200, 9], values: io.get('prompt.observations') },
          rewards: { shape: [200], values: io.get('prompt.rewards') },
        },
      },
      async (policy) => {
        const chunks = await drive(policy, rows(io, 'observations'), undefined);
        expect(
          relativeError(said<{ given: number[] }>(chunks[0]!, 'prompt').given, io.get('prompt.z')),
        ).toBeLessThan(BAR);
        expect(relativeError(actionsOf(chunks), io.get('prompt.actions'))).toBeLessThan(BAR);
      },
    );
  });

  it('an encoder asked when the goal is set, at the start or at every step', async () => {
    const io = golden('ogbench_saw');
    const states = rows(io, 'observations');
    const goal = rows(io, 'goals')[0]!;
    const given = async (at: string) =>
      withParts(
        'ogbench_saw',
        {
          config: { type: 'actor', given: 'subgoal' },
          parts: { goal: { kind: 'goal', encoder: { score: 'actor_goal_rep', at } } },
        },
        (policy) => drive(policy, states, goal),
      );
    const plain = await withParts('ogbench_saw', { parts: {} }, (policy) => drive(policy, states, goal));
    expect(relativeError(actionsOf(await given('step')), actionsOf(plain))).toBeLessThan(BAR);
    const start = await given('start');
    expect(relativeError(actionsOf(start.slice(0, 1)), actionsOf(plain.slice(0, 1)))).toBeLessThan(BAR);
    const firsts = start.map((chunk) => said<{ given: number[] }>(chunk, 'goal').given);
    expect(firsts).toEqual(firsts.map(() => firsts[0]));
    expect(actionsOf(start)).not.toEqual(actionsOf(plain));
  });
});

describe('the subgoal part', () => {
  const io = golden('ogbench_hiql');
  const states = rows(io, 'episode.frames');
  const goal = io.get('episode.goal_frame');
  const given = { type: 'actor', given: 'subgoal' };

  it('both levels apart equal both in one program', () =>
    withParts('ogbench_hiql', { config: given, parts: { high: { kind: 'subgoal' } } }, async (policy) => {
      const chunks = await drive(policy, states, goal);
      expect(relativeError(actionsOf(chunks), io.get('episode.actions'))).toBeLessThan(BAR);
    }));

  it('keeps a subgoal for k inferences, and a new goal asks for a new one', () =>
    withParts(
      'ogbench_hiql',
      { config: given, parts: { high: { kind: 'subgoal', every: 3 } } },
      async (policy) => {
        const chunks = await drive(policy, states, goal);
        const told = chunks.map((chunk) => said<SubgoalSaid>(chunk, 'high'));
        expect(told.map(({ age }) => age)).toEqual([0, 1, 2, 0, 1]);
        expect(told[1]!.subgoal).toEqual(told[0]!.subgoal);
        expect(told[3]!.subgoal).not.toEqual(told[0]!.subgoal);
        const next = await policy.infer(
          { stamp_ns: 9, values: { 'observation.state': states[4]!, goal: rows(io, 'goals')[0]! } },
          { state: chunks[4]!.state },
        );
        expect(said<SubgoalSaid>(next, 'high').age).toBe(0);
      },
    ));

  it('draws proposals that a seed repeats, on the sphere that the level below was trained on', () =>
    withParts(
      'ogbench_hiql',
      { config: given, parts: { high: { kind: 'subgoal', proposals: 8, temperature: 1 } } },
      async (policy) => {
        const once = (await drive(policy, states, goal)).map((chunk) => said<SubgoalSaid>(chunk, 'high'));
        const again = (await drive(policy, states, goal)).map((chunk) => said<SubgoalSaid>(chunk, 'high'));
        expect(again).toEqual(once);
        expect(once[0]!.proposals).toBe(8);
        for (const { subgoal } of once)
          expect(Math.hypot(...subgoal)).toBeCloseTo(Math.sqrt(subgoal.length), 4);
        expect(once[1]!.subgoal).not.toEqual(once[0]!.subgoal);
      },
    ));

  it('among states that were seen takes the one that lies best between', async () => {
    const graph = golden('ttgs_hiql');
    await withParts(
      'ttgs_hiql',
      {
        parts: {
          way: { kind: 'subgoal', by: 'states', states: 'memory.safetensors', select: 'between', every: 2 },
        },
        tensors: { states: { shape: [28, 2], values: graph.get('graph.nodes') } },
      },
      async (policy) => {
        const [chunk] = await drive(policy, [graph.get('graph.start')], graph.get('graph.goal'));
        const { costs, chosen, subgoal } = said<SubgoalSaid>(chunk!, 'way');
        expect(costs).toHaveLength(28);
        expect(costs[chosen]).toBe(Math.min(...costs));
        expect(Float32Array.from(subgoal)).toEqual(rows(graph, 'graph.nodes')[chosen]);
      },
    );
  });
});

describe('the route part', () => {
  const io = golden('ttgs_hiql');
  const { tau, threshold } = io.config.graph as { tau: number; threshold: number };

  it('a graph of recorded states: the authors’ subgoals and actions, until it is lost', () =>
    withParts(
      'ttgs_hiql',
      {
        parts: {
          route: {
            kind: 'route',
            by: 'graph',
            states: 'memory.safetensors',
            tau,
            near: threshold,
            lost: 1e6,
          },
        },
        tensors: { states: { shape: [28, 2], values: io.get('graph.nodes') } },
      },
      async (policy) => {
        const states = [io.get('graph.start'), ...rows(io, 'follow.states')];
        const [, ...chunks] = await drive(policy, states, io.get('graph.goal'));
        const told = chunks.map((chunk) => said<RouteSaid>(chunk, 'route'));
        const indices = [...io.get('follow.subgoal_index')].map((i) => (i < 0 ? told[0]!.of : i));
        expect(told[0]!.of).toBe(io.shape('graph.path')[0]);
        expect(told.map(({ index }) => index)).toEqual(indices);
        expect(relativeError(actionsOf(chunks), io.get('follow.actions'))).toBeLessThan(BAR);
        expect(told.at(-1)!.replanned).toBe(0);
      },
    ));

  it('searches anew when it is lost, and holds where it is told to', () =>
    withParts(
      'ttgs_hiql',
      {
        parts: {
          route: {
            ...{ kind: 'route', by: 'graph', states: 'memory.safetensors', use: [0, 1] },
            ...{ distance: { by: 'straight' }, tau: 1.5, near: 1.2, lost: 2, on_lost: 'hold' },
          },
        },
        // A corridor along x.
        tensors: {
          states: {
            shape: [10, 2],
            values: Float32Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? i / 2 : 0)),
          },
        },
      },
      async (policy) => {
        const at = (x: number, y = 0): Float32Array => Float32Array.of(x, y);
        const chunks = await drive(policy, [at(0), at(1), at(2), at(7, 0.5), at(7, 40)], at(9));
        const told = chunks.map((chunk) => said<RouteSaid>(chunk, 'route'));
        expect(told.map(({ subgoal }) => subgoal[0])).toEqual([1, 2, 3, 8, expect.any(Number)]);
        expect(told.map(({ lost }) => lost)).toEqual([false, false, false, false, true]);
        expect(chunks.slice(0, 4).every(({ steering }) => steering!.hold === undefined)).toBe(true);
        expect(chunks[4]!.steering!.hold).toMatch(/off the route/);
        expect(told[4]!.replanned).toBe(1);
      },
    ));

  it('milestones of a demonstration and places of a drive, one after another', async () => {
    // There and back along x: turning points are milestones.
    const x = Array.from({ length: 121 }, (_, t) => (t < 60 ? t / 60 : 2 - t / 60));
    const tensors = {
      states: { shape: [121, 2], values: Float32Array.from(x.flatMap((v) => [v, 0])) },
    };
    const route = {
      kind: 'route',
      states: 'memory.safetensors',
      distance: { by: 'straight', per_step: 1 / 60 },
    };
    const along = [0, 0.25, 0.5, 0.75, 0.97, 0.75, 0.5, 0.25, 0.02].map((v) => Float32Array.of(v, 0));
    await withParts(
      'ttgs_hiql',
      { parts: { way: { ...route, by: 'milestones' } }, tensors },
      async (policy) => {
        const told = (await drive(policy, along, undefined)).map((chunk) => said<RouteSaid>(chunk, 'way'));
        expect(told[0]!.of).toBe(2);
        expect(told.map(({ index }) => index)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1]);
        expect(told.at(-1)!.done).toBe(true);
        expect(told[0]!.seconds).toBeUndefined();
      },
    );
    await withParts(
      'ttgs_hiql',
      {
        config: { type: 'actor', fps: 10 },
        parts: { way: { ...route, by: 'map', spacing: 10, window: 2, close: 4 } },
        tensors,
      },
      async (policy) => {
        const told = (await drive(policy, along, undefined)).map((chunk) => said<RouteSaid>(chunk, 'way'));
        expect(told[0]).toMatchObject({ of: 13, index: 1, lost: false, seconds: 1 });
        told.slice(1).forEach(({ index }, i) => {
          expect(index).toBeGreaterThanOrEqual(told[i]!.index);
        });
        expect(told.at(-1)).toMatchObject({ index: 12, done: true });
      },
    );
  });
});

describe('progress', () => {
  const parts = (more: object) => ({
    progress: {
      ...{ kind: 'progress', distance: { by: 'straight' }, reached_steps: 0.5, stall_after: 2 },
      ...more,
    },
  });
  const at = (x: number): Float32Array => Float32Array.of(x, 0);

  it('says how far it is in steps and seconds, reached and stalled', () =>
    withParts('ttgs_hiql', { config: { type: 'actor', fps: 5 }, parts: parts({}) }, async (policy) => {
      const chunks = await drive(policy, [at(5), at(3), at(3), at(3), at(0.2)], at(0));
      const told = chunks.map((chunk) => said<ProgressSaid>(chunk, 'progress'));
      expect(told.map(({ state }) => state)).toEqual([
        'on the way',
        'on the way',
        'on the way',
        'stalled',
        'reached',
      ]);
      expect(told[1]).toMatchObject({ steps_left: 3, seconds_left: 0.6 });
      expect(chunks.every(({ steering }) => steering!.hold === undefined)).toBe(true);
    }));

  it('holds where it is told to', () =>
    withParts('ttgs_hiql', { parts: parts({ on_reached: 'hold', on_stalled: 'hold' }) }, async (policy) => {
      const chunks = await drive(policy, [at(5), at(5), at(5), at(0)], at(0));
      const holds = chunks.map(({ steering }) => steering!.hold);
      expect(holds).toEqual([
        undefined,
        undefined,
        expect.stringMatching(/no progress/),
        expect.stringMatching(/reached/),
      ]);
    }));
});

describe('refusals name the field', () => {
  const refused = (name: string, part: object, config?: object) =>
    withParts(
      name,
      { ...(config === undefined ? {} : { config }), parts: { p: part } },
      async () => undefined,
    );
  it.each([
    ['ogbench_crl', { kind: 'progress', reached_steps: 1, stall_after: 5 }, /crl has critic.*got "distance"/],
    ['ogbench_gciql', { kind: 'subgoal' }, /one level/],
    ['ogbench_gciql', { kind: 'goal', direction: {} }, /no "phi"/],
    ['ogbench_hiql', { kind: 'route', by: 'graph' }, /states/],
    ['ogbench_hiql', { kind: 'goal', form: {} }, /"form"/],
    ['ogbench_hiql', { kind: 'subgoal', by: 'states', states: 'x.safetensors' }, /needs select/],
  ])('%s %j', async (name, part, message) => {
    await expect(refused(name, part)).rejects.toThrow(message);
  });
  it('an agent of one level has nothing below its goal', async () => {
    await expect(
      refused('ogbench_gciql', { kind: 'subgoal' }, { type: 'actor', given: 'subgoal' }),
    ).rejects.toThrow(/given: gciql has one level/);
  });
});
