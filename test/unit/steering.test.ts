// A policy with parts around it, on the arm's own checkpoint: what a manifest may say, what every kind of part does, what
// becomes of one that fails, and that nothing changes while all are off.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { ScoreFunction } from '../../src/parts/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { steer } from '../../src/session/live-feed.js';
import { Budget } from '../../src/steering/budget.js';
import { fingerprintOf, loadSteered, SteeredPolicy } from '../../src/steering/index.js';
import type { ActionChunk, Observation } from '../../src/types/index.js';
import { readIntent } from '../../src/web/intents.js';

const ARM = fileURLToPath(new URL('../../models/arm/', import.meta.url));
const OPTIONS = { compute: { precision: 'f32', threads: 1 }, sampling: { steps: 2 } } as const;
const dir = mkdtempSync(join(tmpdir(), 'tendon-steering-'));
afterAll(() => rmSync(dir, { recursive: true }));

let files = 0;
function manifest(content: object): string {
  const file = join(dir, `${files++}.json`);
  writeFileSync(file, JSON.stringify(content));
  return file;
}
type Functions = Readonly<Record<string, ScoreFunction>>;
async function steered(content: object, functions: Functions = {}): Promise<SteeredPolicy> {
  const policy = await loadSteered(ARM, OPTIONS, { parts: manifest(content), functions });
  if (!(policy instanceof SteeredPolicy)) throw new Error('no parts');
  policy.reset(3);
  return policy;
}
const seen = (i = 0): Observation => ({
  stamp_ns: 1e9 + i * 2e8,
  values: {
    'observation.state': Float32Array.from({ length: 12 }, (_, j) => 0.1 * Math.sin(j + i)),
    'observation.environment_state': Float32Array.from({ length: 9 }, (_, j) => 0.3 * Math.cos(j)),
    'observation.goal': Float32Array.from([0.4, 0.1, 0.3, 1, 0, 0, 0]),
  },
});
/** The manifest's own word for what an alarm does. */
const THEN = 'then';
const fn = (kind = 'scorer') => ({ kind, form: 'function' });
const STEPS = [0, 1, 2];
async function run(policy: Pick<SteeredPolicy, 'infer' | 'reset'>, options = {}): Promise<ActionChunk[]> {
  policy.reset(3);
  const chunks: ActionChunk[] = [];
  for (const i of STEPS)
    chunks.push(await policy.infer([seen(i)], { state: chunks.at(-1)?.state, ...options }));
  return chunks;
}

describe('every part off', () => {
  it('gives the plain policy’s chunks, bit for bit, and again when switched off one by one', async () => {
    const plain = await loadPolicy(ARM, OPTIONS);
    const want = (await run(plain)).map(({ actions }) => actions);
    const policy = await steered({
      parts: {
        medoid: { kind: 'scorer', form: 'medoid' },
        known: { kind: 'monitor', score: 'medoid', threshold: 9 },
      },
      candidates: 4,
      select: { by: 'medoid' },
    });
    expect((await run(policy)).map(({ actions }) => actions)).not.toEqual(want);
    policy.switchPart('known', false);
    policy.switchPart('medoid', false);
    expect((await run(policy)).map(({ actions }) => actions)).toEqual(want);
    expect(await loadSteered(ARM, OPTIONS, { parts: false })).not.toBeInstanceOf(SteeredPolicy);
    plain.close();
    policy.close();
  });
  it('a scorer that somebody asks is not switched off', async () => {
    const policy = await steered(
      {
        parts: { q: fn(), ood: { kind: 'monitor', score: 'q', threshold: 1 } },
      },
      { q: () => [0] },
    );
    expect(() => policy.switchPart('q', false)).toThrow(/monitor ood asks it/);
    expect(() => policy.switchPart('p', false)).toThrow(/no part p.*q, ood/);
    policy.close();
  });
});

describe('a manifest says what is wrong with it', () => {
  it.each([
    [{ part: {} }, /part/],
    [{ parts: { q: { kind: 'judge' } } }, /kind/],
    [{ parts: { q: { kind: 'scorer', form: 'valu' } } }, /expected one of value, coin_flip.*got "valu"/s],
    [{ parts: { q: { kind: 'scorer', form: 'value', inputs: ['chunk'] } } }, /form value needs it/],
    [
      { parts: { q: { kind: 'scorer', form: 'kde', data: 'x', inputs: ['chonk'] } } },
      /no "chonk".*observation.goal/s,
    ],
    [{ parts: { q: { ...fn(), sigme: 1 } } }, /sigme/],
    [
      { parts: { q: { ...fn() } }, select: { by: 'p' } },
      /select.by: expected the name of a scorer in parts \(q\), got "p"/,
    ],
    [{ parts: { m: { kind: 'monitor', score: 'q' } } }, /there is none/],
    [{ parts: { q: fn(), m: { kind: 'monitor', score: 'q' } } }, /either a band.*or a threshold/s],
    [{ parts: { q: fn(), m: { kind: 'monitor', score: 'q', threshold: 1, [THEN]: 'arm' } } }, /arms/],
    [
      { parts: { q: fn(), g: { kind: 'guardian', score: 'q', at_least: 0, otherwise: ['shrink'] } } },
      /baseline/,
    ],
    [
      {
        parts: { v: { kind: 'scorer', form: 'variance' }, g: { kind: 'guardian', score: 'v', at_least: 0 } },
      },
      /looks at no chunk/,
    ],
    [
      { parts: { c: { kind: 'condition', feeds: 'observation.speed', range: [0, 1], default: 0 } } },
      /no single number/,
    ],
    [{ parts: { c: { kind: 'condition', feeds: 'tempo', range: [1, 0], default: 1 } } }, /low < high/],
    [{ parts: { n: { kind: 'noise', fixed_seed: 1, rows: 99 } } }, /begins as 16 rows/],
    [{ parts: { b: { kind: 'scorer', form: 'agreement', model: ARM } } }, /part of itself/],
    [{ parts: { q: { kind: 'scorer', form: 'clearance' } } }, /form clearance needs it/],
    [
      { parts: { q: { kind: 'scorer', form: 'rnd', model: 'nowhere', inputs: ['chunk'] } } },
      /nowhere does not exist/,
    ],
  ])('%j', async (content, sentence) => {
    await expect(steered(content, { q: () => [0] })).rejects.toThrow(sentence);
  });
});

describe('scorers and selection', () => {
  it('the best candidate is played, and the ranks are told', async () => {
    const policy = await steered(
      { parts: { q: fn() }, candidates: 4, select: { by: 'q' } },
      { q: ({ n }) => Array.from({ length: n }, (_, i) => (i === 2 ? 5 : -i)) },
    );
    const { actions, candidates, chosen, steering, n_candidates } = await policy.infer([seen()], {
      state: undefined,
    });
    expect([n_candidates, chosen, steering!.order]).toEqual([4, 2, [2, 0, 1, 3]]);
    expect(actions).toEqual(candidates!.slice(2 * 96, 3 * 96));
    policy.close();
  });
  it.each([
    [
      'throws',
      () => {
        throw new Error('no idea');
      },
      /no idea/,
    ],
    ['is late', () => new Promise<number[]>(() => undefined), /late/],
    ['says NaN', ({ n }: { n: number }) => Array(n).fill(Number.NaN), /no score is finite/],
    ['says too little', () => [1], /expected 2 scores, got 1/],
  ] as [string, ScoreFunction, RegExp][])(
    'one that %s is passed over, and candidate 0 is played',
    async (_, score, why) => {
      const policy = await steered({ parts: { q: fn() }, candidates: 2, select: { by: 'q' } }, { q: score });
      // The first inference within a budget draws one candidate; ask for two.
      const answer = await policy.infer([seen()], { state: undefined, budget_ms: 200, candidates: 2 });
      expect(answer.chosen).toBe(0);
      expect(answer.actions).toEqual(answer.candidates!.slice(0, 96));
      expect(answer.steering!.skipped.q).toMatch(why);
      expect(policy.parts()[0]).toMatchObject({ name: 'q', skipped: 1 });
      policy.close();
    },
  );
  it('coherence is bidirectional decoding’s choice', async () => {
    const policy = await steered({
      parts: { c: { kind: 'scorer', form: 'coherence' } },
      candidates: 8,
      select: { by: 'c' },
    });
    const first = await policy.infer([seen()], { state: undefined });
    const { candidates, chosen } = await policy.infer([seen()], { state: first.state, playing: first });
    const off = Array.from({ length: 8 }, (_, c) => {
      let sum = 0;
      for (let row = 0; row < 16; row++)
        for (let i = 0; i < 6; i++)
          sum += 0.5 ** row * (candidates![c * 96 + row * 6 + i]! - first.actions[row * 6 + i]!) ** 2;
      return sum;
    });
    expect(chosen).toBe(off.indexOf(Math.min(...off)));
    policy.close();
  });
});

describe('guardians', () => {
  const parts = (otherwise: string[], more = {}) => ({
    parts: { q: fn(), g: { kind: 'guardian', score: 'q', at_least: 1, otherwise, ...more } },
    candidates: 3,
    select: { by: 'q' },
  });
  const scores = (...list: number[]): Functions => ({ q: ({ n }) => list.slice(0, n) });
  it('let through what is inside, and hold what is not', async () => {
    const policy = await steered(parts(['hold']), scores(0, 3, 2));
    const passed = await policy.infer([seen()], { state: undefined });
    expect([passed.chosen, passed.steering!.guardians, passed.steering!.hold]).toEqual([
      1,
      [{ name: 'g', did: 'passed', share: 1 }],
      undefined,
    ]);
    policy.close();
    const strict = await steered(parts(['next', 'hold']), scores(0, 0.5, 0.9));
    const held = await strict.infer([seen()], { state: undefined });
    expect(held.steering!.hold).toMatch(/q 0.9000, at least 1 is inside/);
    expect(held.steering!.ask_person).toBeUndefined();
    strict.close();
  });
  it('a function’s score of the mixture decides how far it shrinks towards the baseline', async () => {
    const plain = await loadPolicy(ARM, OPTIONS);
    // Inside is a small first action; the baseline is the same checkpoint under another name.
    const base = mkdtempSync(join(tmpdir(), 'tendon-base-'));
    const { cpSync } = await import('node:fs');
    cpSync(ARM, base, { recursive: true });
    const policy = await steered(
      { ...parts(['shrink', 'hold'], { baseline: base, grid: 4 }), candidates: 1 },
      { q: ({ n }) => Array.from({ length: n }, (_, i) => (n === 4 && i === 1 ? 1 : 0)) },
    );
    const { actions, steering } = await policy.infer([seen()], { state: undefined });
    expect(steering!.guardians).toEqual([{ name: 'g', did: 'shrink', share: 0.5 }]);
    expect(steering!.hold).toBeUndefined();
    expect(actions.every(Number.isFinite)).toBe(true);
    plain.close();
    policy.close();
    rmSync(base, { recursive: true });
  });
  it('fail towards hold', async () => {
    const policy = await steered(parts(['next', 'hold']), {
      q: () => {
        throw new Error('gone');
      },
    });
    const { steering } = await policy.infer([seen()], { state: undefined });
    expect(steering!.hold).toMatch(/g failed: .*nothing is known of q/);
    policy.close();
  });
});

describe('monitors', () => {
  const watching = (more: object) => ({ parts: { q: fn(), ood: { kind: 'monitor', score: 'q', ...more } } });
  it('add up what speaks against an episode and ask for a person beyond the bound', async () => {
    const policy = await steered(watching({ threshold: 2.5, [THEN]: 'hold' }), { q: () => [-1] });
    const [a, b, c] = await run(policy);
    expect([a, b, c].map((chunk) => chunk!.steering!.monitors[0])).toEqual(
      STEPS.map((step) => ({ name: 'ood', value: step + 1, bound: 2.5, step, alarm: step === 2 })),
    );
    expect([b!.steering!.hold, c!.steering!.ask_person]).toEqual([undefined, true]);
    expect(c!.steering!.hold).toMatch(/ood holds the robot: q 3.000 of at most 2.500/);
    policy.close();
  });
  it('hold when they cannot see, whatever they were told to do', async () => {
    const policy = await steered(watching({ threshold: 9 }), {
      q: () => {
        throw new Error('blind');
      },
    });
    const { steering } = await policy.infer([seen()], { state: undefined });
    expect(steering!.monitors[0]).toMatchObject({ alarm: true, value: Number.NaN });
    expect(steering!.ask_person).toBe(true);
    policy.close();
  });
  it('arm parts for the rest of the episode, and for that alone', async () => {
    const policy = await steered(
      {
        parts: {
          q: fn(),
          r: fn(),
          ood: { kind: 'monitor', score: 'q', threshold: 1.5, [THEN]: 'arm', arms: ['r'] },
        },
      },
      { q: () => [-1], r: () => [7] },
    );
    const chunks = await run(policy);
    expect(chunks.map(({ steering }) => 'r' in steering!.scores)).toEqual([false, false, true]);
    expect((await run(policy)).map(({ steering }) => 'r' in steering!.scores)).toEqual([false, false, true]);
    policy.close();
  });
  it('a band belongs to the weights that it was made with', async () => {
    const band = {
      format: 'tendon-band-1',
      upper: [1, 2],
      alpha: 0.1,
      train: 5,
      calibrate: 19,
      modulation: 'stdev',
      score: 'q',
      accumulate: 'sum',
    };
    const other = manifest({ ...band, policy: 'f'.repeat(64) });
    await expect(steered(watching({ band: other }), { q: () => [-1] })).rejects.toThrow(
      /other weights.*calibrate again/s,
    );
    const own = manifest({ ...band, policy: fingerprintOf(ARM) });
    const policy = await steered(watching({ band: own }), { q: () => [-0.9] });
    expect((await run(policy)).map(({ steering }) => steering!.monitors[0]!.alarm)).toEqual([
      false,
      false,
      true,
    ]);
    policy.close();
  });
});

describe('conditions', () => {
  it('are clamped, move no faster than they may, and are part of the setting', async () => {
    const policy = await steered({
      parts: { slow: { kind: 'condition', feeds: 'tempo', range: [0.25, 1], default: 1, most_change: 0.5 } },
    });
    policy.setCondition('slow', 0.1);
    expect(policy.setting.values).toEqual({ slow: 0.25 });
    expect(() => policy.setCondition('slow', Number.NaN)).toThrow(/finite/);
    const chunks = await run(policy);
    expect(chunks.map(({ steering }) => steering!.said!.slow)).toEqual([0.25, 0.25, 0.25]);
    expect(chunks[0]!.period_ns).toBe(4 * 5e7);
    policy.close();
  });
  it('an entry of an observation is what the policy sees', async () => {
    const policy = await steered({
      parts: { first: { kind: 'condition', feeds: 'observation.state[0]', range: [-1, 1], default: 0.5 } },
    });
    const plain = await loadPolicy(ARM, OPTIONS);
    plain.reset(3);
    const shown = seen();
    shown.values['observation.state']![0] = 0.5;
    const want = await plain.infer([shown], { state: undefined });
    expect((await policy.infer([seen()], { state: undefined })).actions).toEqual(want.actions);
    plain.close();
    policy.close();
  });
});

it('noise by a fixed seed is the same at every inference, and others draw as usual', async () => {
  const policy = await steered({ parts: { n: { kind: 'noise', fixed_seed: 5, rows: 16 } }, candidates: 2 });
  const again = async () => (await policy.infer([seen()], { state: undefined })).candidates!;
  const [a, b] = [await again(), await again()];
  expect(a.slice(0, 96)).toEqual(b.slice(0, 96));
  expect(a.slice(96)).not.toEqual(b.slice(96));
  policy.close();
});

it('an inference is a function of seed, number and what is shown, whatever was cancelled before', async () => {
  const content = {
    parts: { m: { kind: 'scorer', form: 'medoid' } },
    candidates: 4,
    select: { by: 'm', rule: 'softmax', temperature: 0.1 },
  };
  const policy = await steered(content);
  const chosen = async (): Promise<number[]> => (await run(policy)).map((chunk) => chunk.chosen);
  expect(await chosen()).toEqual(await chosen());
  policy.close();
});

it('candidates grow while they are affordable and shrink before they are not', () => {
  const budget = new Budget(16, 1);
  expect(budget.candidates(undefined)).toBe(16);
  const drawn: number[] = [];
  for (let i = 0; i < 6; i++) {
    const n = budget.candidates(100);
    drawn.push(n);
    budget.took(n, 4 * n, 100);
  }
  expect(drawn).toEqual([1, 2, 4, 8, 16, 16]);
  budget.took(16, 90, 100);
  expect(budget.candidates(100)).toBe(8);
});

it('a person switches parts and sets conditions from a page, and hears why not', async () => {
  const policy = await steered({
    parts: {
      m: { kind: 'scorer', form: 'medoid' },
      slow: { kind: 'condition', feeds: 'tempo', range: [0.5, 1], default: 1 },
    },
  });
  const read = (intent: object) => {
    const message = readIntent(JSON.stringify({ id: 1, intent }));
    if (!message.ok) throw new Error(message.reason);
    return steer(policy, message.message.intent as never);
  };
  expect(read({ kind: 'part', name: 'm', on: false })).toEqual({ accepted: true, reason: '' });
  expect(read({ kind: 'condition', name: 'slow', value: 0.2 })).toEqual({ accepted: true, reason: '' });
  expect(policy.setting).toEqual({ off: ['m'], values: { slow: 0.5 }, candidates: undefined });
  expect(read({ kind: 'condition', name: 'm', value: 1 }).reason).toMatch(/only a condition has a value/);
  expect(read({ kind: 'part', name: 'n', on: true }).reason).toMatch(/no part n/);
  policy.close();
});
