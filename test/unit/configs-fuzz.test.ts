// 10⁵ damaged configs and processor files, in bytes and in structure: each is refused in words or describes a network that
// the fields which changed account for. Nothing crashes, reaches a prototype, or takes memory for what a number asks.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { ActConfig } from '../../src/policies/act/config.js';
import { ActorConfig } from '../../src/policies/actor/config.js';
import { BesoConfig } from '../../src/policies/beso/config.js';
import { parseConfig } from '../../src/policies/checkpoint.js';
import { DiffusionConfig } from '../../src/policies/diffusion/config.js';
import { DpConfig } from '../../src/policies/dp/config.js';
import { EdmConfig } from '../../src/policies/edm/config.js';
import { EnsembleConfig } from '../../src/policies/ensemble/config.js';
import { GaussianActorConfig } from '../../src/policies/gaussian-actor/config.js';
import { modernConfig } from '../../src/policies/legacy.js';
import { openFamily } from '../../src/policies/load.js';
import { MultiTaskDitConfig } from '../../src/policies/multi-task-dit/config.js';
import { OnnxConfig } from '../../src/policies/onnx/config.js';
import { readSteps, type Step } from '../../src/policies/processors/steps.js';
import { RewardClassifierConfig } from '../../src/policies/reward-classifier/config.js';
import { RobomimicConfig } from '../../src/policies/robomimic/config.js';
import { RssmConfig } from '../../src/policies/rssm/config.js';
import { ScalezeroConfig } from '../../src/policies/scalezero/config.js';
import { TdmpcConfig } from '../../src/policies/tdmpc/config.js';
import { Tdmpc2Config } from '../../src/policies/tdmpc2/config.js';
import { OpenpiConfig } from '../../src/policies/vla/openpi.js';
import { Pi0Config, Pi05Config } from '../../src/policies/vla/pi.js';
import { SmolvlaConfig } from '../../src/policies/vla/smolvla.js';
import { VqbetConfig } from '../../src/policies/vqbet/config.js';
import { TendonError } from '../../src/types/index.js';
import { writeSafetensors } from '../../src/weights/index.js';
import { CHECKPOINTS, writeCheckpointOf } from './checkpoints.js';
import { cases, FUZZ_LIMIT_MS } from './mutations.js';

/** Each family's schema; how many configs, and how many of those that it accepts are opened whole. */
const FAMILIES: Readonly<Record<string, readonly [z.ZodType, texts: number, opened: number]>> = {
  edm: [EdmConfig, 8000, 60],
  beso: [BesoConfig, 8000, 60],
  act: [ActConfig, 8000, 50],
  diffusion: [DiffusionConfig, 8000, 40],
  vqbet: [VqbetConfig, 8000, 30],
  diffusion_policy: [DpConfig, 8000, 50],
  robomimic: [RobomimicConfig, 8000, 60],
  gaussian_actor: [GaussianActorConfig, 8000, 60],
  multi_task_dit: [MultiTaskDitConfig, 8000, 30],
  reward_classifier: [RewardClassifierConfig, 8000, 60],
  onnx: [OnnxConfig, 8000, 10],
  actor: [ActorConfig, 8000, 60],
  smolvla: [SmolvlaConfig, 8000, 20],
  pi0: [Pi0Config, 8000, 20],
  pi05: [Pi05Config, 8000, 20],
  openpi: [OpenpiConfig, 8000, 20],
  tdmpc: [TdmpcConfig, 8000, 30],
  tdmpc2: [Tdmpc2Config, 8000, 30],
  ensemble: [EnsembleConfig, 8000, 60],
  rssm: [RssmConfig, 8000, 30],
  scalezero: [ScalezeroConfig, 8000, 4],
};
const PROCESSORS = cases(4000);

/**
 * Fields that no tensor's shape can tell: what else they may be is another policy, and only its training knows. Any other
 * field that changes the network must be refused for the tensors that then are missing, left over or of another shape.
 */
const FREE: Readonly<Record<string, readonly string[]>> = {
  edm: [],
  beso: ['n_heads', 'obs_seq_len'],
  act: ['n_heads', 'pre_norm', 'feedforward_activation'],
  diffusion: ['horizon', 'n_groups'],
  vqbet: ['input_features', 'crop_shape', 'n_obs_steps', 'gpt_n_head', 'bet_softmax_temperature'],
  diffusion_policy: ['horizon', 'network'],
  // Their order is the order of training.
  robomimic: ['input_features', 'head', 'network', 'names'],
  gaussian_actor: ['policy_kwargs'],
  // Cameras share an encoder, and nothing shows the length of a chunk without positions of its own.
  multi_task_dit: ['input_features', 'horizon', 'num_heads', 'rope_base', 'tokenizer_max_length'],
  // The order of cameras is the order of training.
  reward_classifier: ['input_features'],
  onnx: [],
  // What each says of sizes, the weights say too.
  actor: ['goal_use', 'temperature'],
  smolvla: [
    'input_features',
    'chunk_size',
    'tokenizer_max_length',
    'self_attn_every_n_layers',
    'min_period',
    'max_period',
  ],
  pi0: ['input_features', 'chunk_size', 'tokenizer_max_length', 'min_period', 'max_period'],
  pi05: ['input_features', 'chunk_size', 'tokenizer_max_length', 'min_period', 'max_period'],
  // What the training's Python said of the robot.
  openpi: ['action_horizon', 'openpi'],
  tdmpc: ['horizon', 'discount', 'min_std', 'max_std', 'uncertainty_regularizer_coeff'],
  tdmpc2: [
    'horizon',
    'discount',
    'min_std',
    'max_std',
    'log_std_min',
    'log_std_max',
    'simnorm_dim',
    'vmin',
    'vmax',
  ],
  ensemble: ['horizon', 'discount', 'elites', 'num_particles', 'no_delta_list'],
  rssm: ['horizon', 'discount', 'input_features'],
  scalezero: ['horizon', 'discount_factor', 'num_experts_per_tok', 'num_heads', 'lora_alpha'],
};

const dir = mkdtempSync(join(tmpdir(), 'tendon-configs-'));
beforeAll(() => {
  for (const family of Object.keys(CHECKPOINTS)) writeCheckpointOf(family, join(dir, family));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
type Random = ReturnType<typeof randomFrom>;

const deep = (n: number): unknown => JSON.parse('['.repeat(n) + ']'.repeat(n));
/** What a field may hold instead. */
const VALUES: readonly (() => unknown)[] = [
  ...[null, true, false, -1, 0, 0.5, 1, 2, 3, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e308, 5e-324].map(
    (value) => () => value,
  ),
  ...['', '__proto__', 'constructor', '../../etc/passwd', 'NaN', '\u0000', 'x'.repeat(5000)].map(
    (value) => () => value,
  ),
  () => [],
  () => ({}),
  () => JSON.parse('{"__proto__": {"polluted": true}}'),
  () => ({ constructor: { prototype: { polluted: true } } }),
  () => deep(500),
  () => new Array(3000).fill(1),
];
const KEYS = ['__proto__', 'constructor', 'toString', 'action', 'observation.state', ''];

/** The document with one entry deleted, renamed, added, doubled or replaced; keys like __proto__ stay entries. */
function restructured(value: unknown, random: Random): unknown {
  if (typeof value !== 'object' || value === null || random(6) === 0) {
    if (typeof value === 'number' && random(2) === 0)
      return [value + 1, value - 1, value * 2, value / 2, -value, value * 1e9][random(6)];
    return VALUES[random(VALUES.length)]!();
  }
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  const kind = random(10);
  if (entries.length === 0 || kind === 0)
    entries.push([KEYS[random(KEYS.length)]!, VALUES[random(VALUES.length)]!()]);
  else {
    const at = random(entries.length);
    const [key, held] = entries[at]!;
    if (kind === 1) entries.splice(at, 1);
    else if (kind === 2) entries[at] = [KEYS[random(KEYS.length)]!, held];
    else if (kind === 3) entries.splice(at, 0, entries[random(entries.length)]!);
    else entries[at] = [key, restructured(held, random)];
  }
  return list ? entries.map(([, held]) => held) : Object.fromEntries(entries);
}

function damaged(text: string, random: Random): string {
  const bytes = Buffer.from(text);
  for (let edits = 1 + random(2); edits > 0; --edits) {
    const at = random(bytes.length);
    const kind = random(4);
    if (kind === 0) bytes[at] = random(256);
    else if (kind === 1) bytes[at] = bytes[at]! ^ (1 << random(8));
    // A digit for a digit, so that more than JSON.parse is tried.
    else if (kind === 2) {
      const digit = text.slice(at).search(/\d/);
      if (digit >= 0) bytes[at + digit] = 0x30 + random(10);
    } else bytes.copyWithin(at, random(bytes.length), random(bytes.length));
  }
  return bytes.toString('utf8', 0, random(20) === 0 ? random(bytes.length) : bytes.length);
}

const mutated = (text: string, random: Random): string =>
  random(3) === 0 ? damaged(text, random) : JSON.stringify(restructured(JSON.parse(text), random));

/** Whatever `act` throws must be in words. */
function refusal(act: () => unknown): TendonError | undefined {
  try {
    act();
    return undefined;
  } catch (caught) {
    if (caught instanceof TendonError) return caught;
    throw caught;
  }
}

/** What the core was told, node by node. */
function network(folder: string): string {
  const family = openFamily(folder);
  const graph = 'kind' in family ? family.graph() : family.network.graph(1);
  const nodes = graph.nodes.map(({ op, inputs, attributes, shape, name, tensor, values }) => [
    op,
    inputs,
    attributes,
    shape,
    name,
    tensor?.offset,
    values === undefined ? undefined : Array.from(values.subarray(0, 64)),
  ]);
  return JSON.stringify([nodes, graph.outputs]);
}

/** Top-level fields that differ. */
function differing(a: object, b: object): string[] {
  const get = (of: object, key: string) =>
    JSON.stringify(Object.hasOwn(of, key) ? Reflect.get(of, key) : undefined);
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => get(a, key) !== get(b, key));
}

const megabytes = (): number => process.resourceUsage().maxRSS / 1024;

describe.each(Object.keys(FAMILIES))('%s', (family) => {
  const [schema, texts, opened] = FAMILIES[family]!;
  const folder = join(dir, family);
  const file = join(folder, 'config.json');

  it(
    `${texts} damaged configs`,
    () => {
      const original = readFileSync(file, 'utf8');
      const parse = (text: string): object | undefined => {
        try {
          const json: unknown = JSON.parse(text);
          if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined;
          return parseConfig(schema, modernConfig(json as Record<string, unknown>), folder, family) as object;
        } catch (caught) {
          if (caught instanceof TendonError || caught instanceof SyntaxError) return undefined;
          throw caught;
        }
      };
      const whole = parse(original)!;
      const plain = JSON.stringify(whole);
      const expected = network(folder);
      const random = randomFrom(family.length * 7919);
      const before = megabytes();
      let [refused, same] = [0, 0];
      const others = new Map<string, string>();
      for (let i = 0; i < texts; ++i) {
        const text = mutated(original, random);
        const config = parse(text);
        if (config === undefined) ++refused;
        else if (JSON.stringify(config) === plain) ++same;
        else others.set(JSON.stringify(config), text);
      }
      const unexplained: string[] = [];
      let accepted = 0;
      for (const [config, text] of [...others].slice(0, opened)) {
        writeFileSync(file, text);
        let described = '';
        if (
          refusal(() => {
            described = network(folder);
          }) !== undefined
        )
          continue;
        ++accepted;
        const changed = differing(whole, JSON.parse(config));
        if (described !== expected && !changed.some((key) => FREE[family]?.includes(key)))
          unexplained.push(`${changed}: ${text.slice(0, 200)}`);
      }
      writeFileSync(file, original);
      expect(unexplained).toEqual([]);
      expect(refused).toBeGreaterThan(texts / 4);
      expect(same).toBeGreaterThan(0);
      expect(accepted).toBeGreaterThan(0);
      expect(Reflect.get({}, 'polluted')).toBeUndefined();
      // What the largest networks take; a number that is taken at its word would be gigabytes.
      expect(megabytes() - before).toBeLessThan(400);
    },
    FUZZ_LIMIT_MS,
  );
});

describe('processors', () => {
  const folder = (): string => join(dir, 'act');

  it(
    `${PROCESSORS} damaged files`,
    () => {
      const file = join(folder(), 'policy_preprocessor.json');
      const original = readFileSync(file, 'utf8');
      const read = (): string => {
        // Places in the file are for messages.
        const plain = ({ where, ...step }: Step & { where?: string }) => ({
          ...step,
          ...('stats' in step
            ? {
                stats: Object.entries(step.stats).map(([key, s]) => [
                  key,
                  Object.entries(s).map(([k, v]) => [k, ...v]),
                ]),
              }
            : {}),
        });
        return JSON.stringify(readSteps(folder(), 'policy_preprocessor.json').map(plain));
      };
      const expected = read();
      const random = randomFrom(4711);
      const unexplained: string[] = [];
      let [refused, same] = [0, 0];
      for (let i = 0; i < PROCESSORS; ++i) {
        const text = mutated(original, random);
        writeFileSync(file, text);
        let got = '';
        if (
          refusal(() => {
            got = read();
          }) !== undefined
        )
          ++refused;
        else if (got === expected) ++same;
        // What else it may say stands in the file: other numbers, other names, or a step fewer.
        else if (stepsOf(text) === stepsOf(original)) unexplained.push(text);
      }
      writeFileSync(file, original);
      expect(unexplained).toEqual([]);
      expect(refused).toBeGreaterThan(PROCESSORS / 4);
      expect(same).toBeGreaterThan(0);
      expect(Reflect.get({}, 'polluted')).toBeUndefined();
    },
    FUZZ_LIMIT_MS,
  );

  /** What of a pipeline is read: the rest may be anything. */
  function stepsOf(text: string): string {
    const { steps } = JSON.parse(text) as { steps: Record<string, Record<string, unknown>>[] };
    return JSON.stringify(
      steps.map(({ registry_name, state_file, config }) => [
        registry_name,
        state_file,
        config?.eps,
        config?.norm_map,
        config?.features,
        config?.normalize_observation_keys,
        config?.rename_map,
      ]),
    );
  }

  it('statistics of features called __proto__ and constructor reach no prototype', () => {
    const one = { shape: [1], values: Float32Array.of(7) };
    const names = ['__proto__.mean', 'constructor.mean', '__proto__.polluted', 'toString.std'];
    const file = join(folder(), 'pre.safetensors');
    const original = readFileSync(file);
    writeSafetensors(file, Object.fromEntries(names.map((name) => [name, one])));
    const step = readSteps(folder(), 'policy_preprocessor.json').find(({ kind }) => kind === 'normalize');
    writeFileSync(file, original);
    const { stats } = step as Step & { kind: 'normalize' };
    expect(Object.keys(stats)).toEqual(expect.arrayContaining(['__proto__', 'constructor', 'toString']));
    for (const key of ['mean', 'polluted', 'std']) {
      expect(Reflect.get({}, key)).toBeUndefined();
      expect(Reflect.get(Object, key)).toBeUndefined();
    }
  });

  it.each([
    ['a mode of no kind of feature', { norm_map: { STATF: 'MEAN_STD' } }],
    ['a mode that there is not', { norm_map: { STATE: 'MEAN' } }],
    ['modes that are no record', { norm_map: ['MEAN_STD'] }],
    ['an epsilon that is text', { eps: '1e-8' }],
    ['an epsilon of zero', { eps: 0 }],
  ])('%s is refused, not passed over', (_, config) => {
    const file = join(folder(), 'policy_preprocessor.json');
    const original = readFileSync(file, 'utf8');
    const json = JSON.parse(original) as { steps: { config: object }[] };
    Object.assign(json.steps[1]!.config, config);
    writeFileSync(file, JSON.stringify(json));
    expect(refusal(() => openFamily(folder()))).toMatchObject({ code: 'config_invalid' });
    writeFileSync(file, original);
  });

  it('a normaliser without its statistics is refused', () => {
    const file = join(folder(), 'policy_preprocessor.json');
    const original = readFileSync(file, 'utf8');
    writeFileSync(file, original.replace('"state_file"', '"state_fil"'));
    expect(refusal(() => openFamily(folder()))?.message).toContain('no state_file');
    writeFileSync(file, original);
  });
});

describe.each(Object.keys(FAMILIES))('%s: a billion of anything', (family) => {
  it(
    'is refused before memory is taken for it, or is no size of anything',
    () => {
      const folder = join(dir, family);
      const file = join(folder, 'config.json');
      const original = readFileSync(file, 'utf8');
      const expected = network(folder);
      const before = megabytes();
      const numbers = [...original.matchAll(/(?<=[:[,\s])-?\d[\d.eE+-]*(?=[,\]}\s])/g)];
      expect(numbers.length).toBeGreaterThan(1);
      const kept: string[] = [];
      for (const { index, 0: text } of numbers) {
        writeFileSync(file, `${original.slice(0, index)}1000000000${original.slice(index + text.length)}`);
        let got = '';
        const refused = refusal(() => {
          got = network(folder);
        });
        if (refused === undefined && got.length > 2 * expected.length)
          kept.push(original.slice(index - 40, index));
      }
      writeFileSync(file, original);
      expect(kept).toEqual([]);
      expect(megabytes() - before).toBeLessThan(400);
    },
    FUZZ_LIMIT_MS,
  );
});
