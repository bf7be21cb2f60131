// LeRobot's two processor files run as they stand: each file with its own statistics, modes and epsilon, step by step. The
// numbers are worked out by hand from normalize_processor.py and relative_action_processor.py.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { actionCodec } from '../../src/policies/index.js';
import { applyForward } from '../../src/policies/processors/affine.js';
import { processingOf } from '../../src/policies/processors/processing.js';
import { cameraSpec, camerasOf, framesOf } from '../../src/policies/vision/camera.js';
import { writeSafetensors } from '../../src/weights/index.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-processors-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
  vi.restoreAllMocks();
});

const STATE = 'observation.state';
const ENV = 'observation.environment_state';
const feature = (type: 'STATE' | 'ENV' | 'ACTION', n: number) => ({ type, shape: [n] });
const FEATURES = { [STATE]: feature('STATE', 3), [ENV]: feature('ENV', 2), action: feature('ACTION', 2) };
const { action: ACTION, ...INPUTS } = FEATURES;
const CONFIG = {
  input_features: INPUTS,
  output_features: { action: ACTION },
  normalization_mapping: { STATE: 'MEAN_STD', ENV: 'MEAN_STD', ACTION: 'MEAN_STD' },
};
const MODES = CONFIG.normalization_mapping;

const step = (registry_name: string, config: object = {}) => ({ registry_name, config });
let files = 0;
/** A (un)normaliser whose features all have this mean and deviation, of min 0 and max `range`. */
function normalize(
  side: '' | 'un',
  config: object,
  numbers: Record<string, [mean: number, std: number, range: number]>,
) {
  const state_file = `step_${files++}.safetensors`;
  const tensors = Object.entries(numbers).flatMap(([key, [mean, std, range]]) => {
    const n = FEATURES[key as 'action'].shape[0]!;
    return Object.entries({ mean, std, min: 0, max: range }).map(
      ([stat, v]) => [`${key}.${stat}`, { shape: [n], values: new Float32Array(n).fill(v) }] as const,
    );
  });
  writeSafetensors(join(dir, state_file), Object.fromEntries(tensors));
  return {
    ...step(`${side}normalizer_processor`, { eps: 1e-8, features: FEATURES, norm_map: MODES, ...config }),
    state_file,
  };
}
function open(pre: object[], post: object[], raw: readonly string[] | 'all' = []) {
  writeFileSync(join(dir, 'policy_preprocessor.json'), JSON.stringify({ name: 'pre', steps: pre }));
  writeFileSync(join(dir, 'policy_postprocessor.json'), JSON.stringify({ name: 'post', steps: post }));
  return processingOf(dir, CONFIG, undefined, { raw });
}
type Opened = ReturnType<typeof open>;
function seen(opened: Opened, key: string, values: number[]): number[] {
  const out = new Float32Array(values.length);
  applyForward(opened.input(key, values.length), values, out);
  return [...out];
}
function acted(opened: Opened, row: number[], state: number[] = [0, 0, 0]): number[] {
  const rows = Float32Array.from(row);
  const newest = { stamp_ns: 0, values: { [STATE]: Float32Array.from(state) } };
  const codec = actionCodec(opened.action(2));
  codec.decode(rows, newest);
  const back = rows.slice();
  codec.encode(back, newest);
  for (const [i, v] of row.entries()) expect(back[i]).toBeCloseTo(v, 4);
  return [...rows];
}
const ALL = { [STATE]: [1, 2, 4], [ENV]: [0, 0.5, 2], action: [10, 4, 8] } as Record<
  string,
  [number, number, number]
>;

describe('each file as it stands', () => {
  it('modes, statistics and epsilon of one side are not the other’s', () => {
    const opened = open(
      [normalize('', { norm_map: { STATE: 'MIN_MAX' }, eps: 0.5 }, ALL)],
      [normalize('un', {}, { ...ALL, action: [100, 3, 8] })],
    );
    // MIN_MAX of 0…4; ENV is not in this file's map.
    expect(seen(opened, STATE, [0, 2, 4])).toEqual([-1, 0, 1]);
    expect(seen(opened, ENV, [7, -7])).toEqual([7, -7]);
    expect(acted(opened, [1, -1])).toEqual([103, 97]);
  });

  it('an epsilon that one file gives is that file’s', () => {
    const opened = open([normalize('', { eps: 2 }, ALL)], [normalize('un', { eps: 5 }, ALL)]);
    // (5 − 1)/(2 + 2); the way back has none.
    expect(seen(opened, STATE, [5, 1, -3])).toEqual([1, 0, -1]);
    const rows = Float32Array.of(1, 2);
    actionCodec(opened.action(2)).decode(rows, { stamp_ns: 0, values: {} });
    expect([...rows]).toEqual([14, 18]);
  });

  it('only the features that a step lists are normalised, and only the observations that it is told', () => {
    const { [ENV]: _, ...without } = FEATURES;
    const listed = open([normalize('', { features: without }, ALL)], [normalize('un', {}, ALL)]);
    expect(seen(listed, ENV, [1, 2])).toEqual([1, 2]);
    expect(seen(listed, STATE, [3, 1, 1])).toEqual([1, 0, 0]);
    const told = open(
      [normalize('', { normalize_observation_keys: [ENV] }, ALL)],
      [normalize('un', {}, ALL)],
    );
    expect(seen(told, ENV, [1, 2])).toEqual([2, 4]);
    expect(seen(told, STATE, [3, 1, 1])).toEqual([3, 1, 1]);
  });

  it('a normaliser that one file lacks is not made up from the other, and its absence is said', () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const opened = open([normalize('', {}, ALL)], [step('device_processor', { device: 'cpu' })]);
    expect(acted(opened, [0.5, -0.5])).toEqual([0.5, -0.5]);
    expect(warned.mock.calls.flat().join()).toContain('no unnormalizer_processor');
    const other = open([step('to_batch_processor')], [normalize('un', {}, ALL)]);
    expect(seen(other, STATE, [3, 4, 5])).toEqual([3, 4, 5]);
    expect(acted(other, [1, 0])).toEqual([14, 10]);
  });

  it('two normalisers in a row both work', () => {
    const opened = open(
      [
        normalize('', {}, ALL),
        normalize('', { features: { [STATE]: FEATURES[STATE] } }, { [STATE]: [0, 0.5, 1] }),
      ],
      [normalize('un', {}, { action: [1, 2, 1] }), normalize('un', {}, { action: [0, 10, 1] })],
    );
    expect(seen(opened, STATE, [3, 1, -1])).toEqual([2, 0, -2]);
    // (x·2 + 1)·10
    expect(acted(opened, [1, 2])).toEqual([30, 50]);
  });

  it('steps by their class and gymnasium’s names are known; an unknown one is named', () => {
    const identity = { class: 'lerobot.processor.pipeline.IdentityProcessorStep', config: {} };
    const opened = open(
      [step('observation_processor'), identity, normalize('', {}, ALL)],
      [identity, normalize('un', {}, ALL)],
    );
    expect(opened.rename).toMatchObject({ agent_pos: STATE, environment_state: ENV });
    expect(seen(opened, STATE, [3, 1, 1])).toEqual([1, 0, 0]);
    for (const name of ['smolvla_new_line_processor', 'tokenizer_processor', 'pi0_new_line_processor'])
      expect(() => open([step(name, { max_length: 48 })], [])).not.toThrow();
    expect(() => open([step('groot_pack_inputs_v3')], [])).toThrow(
      /"groot_pack_inputs_v3" is not known here/,
    );
  });
});

describe('missing statistics', () => {
  it.each([STATE, 'action'])('of %s refuse to load, with where they were looked for', (key) => {
    const { [key]: _, ...rest } = ALL;
    const opened = open([normalize('', {}, rest)], [normalize('un', {}, { ...rest, [ENV]: [0, 1, 1] })]);
    const load = () => (key === 'action' ? opened.action(2) : opened.input(key, 3));
    expect(load).toThrow(
      new RegExp(`step 0 .*${key} is normalised by MEAN_STD.*looked for ${key}\\.\\* in .*step_\\d+`),
    );
    expect(load).toThrow(expect.objectContaining({ code: 'weights_mismatch' }));
  });

  it('are no matter where the numbers are said to be raw', () => {
    const { action: _, ...rest } = ALL;
    const opened = open([normalize('', {}, rest)], [normalize('un', {}, rest)], ['action']);
    expect(acted(opened, [0.5, -0.5])).toEqual([0.5, -0.5]);
    expect(() => open([], [], ['acton'])).toThrow(/raw: expected "all" or features .*got acton/);
  });

  it('of both files: neither way of keeping them is there', () => {
    expect(() => processingOf(dir, CONFIG, undefined)).toThrow(
      /observation.state is normalised: neither .*--raw all/,
    );
    expect(processingOf(dir, CONFIG, undefined, { raw: 'all' }).input(STATE, 3).mul[0]).toBe(1);
    writeFileSync(join(dir, 'policy_preprocessor.json'), '{"steps":[]}');
    expect(() => processingOf(dir, CONFIG, undefined)).toThrow(/no policy_postprocessor\.json/);
  });
});

describe('relative actions', () => {
  const relative = (config: object) => step('relative_actions_processor', config);
  const absolute = (config: object) => step('absolute_actions_processor', config);
  const pair = (on: object, add: object, more: object[] = []) =>
    open([relative(on), normalize('', {}, ALL)], [normalize('un', {}, ALL), absolute(add), ...more]);

  it('add the newest state, but for joints that are excluded by a part of their name', () => {
    const all = pair({ enabled: true }, { enabled: true });
    expect(acted(all, [1, -1], [0.25, 0.5, 9])).toEqual([14.25, 6.5]);
    const gripper = {
      enabled: true,
      exclude_joints: ['Gripper'],
      action_names: ['arm.pos', 'left_gripper.pos'],
    };
    expect(acted(pair(gripper, { enabled: true }), [1, -1], [0.25, 0.5, 9])).toEqual([14.25, 6]);
  });

  it('off means off, also by default; the step that adds decides', () => {
    expect(acted(pair({ enabled: false }, { enabled: false }), [1, -1], [5, 5, 5])).toEqual([14, 6]);
    expect(acted(pair({}, {}), [1, -1], [5, 5, 5])).toEqual([14, 6]);
    expect(acted(pair({ enabled: true }, {}), [1, -1], [5, 5, 5])).toEqual([14, 6]);
    expect(acted(pair({}, { enabled: true }), [1, -1], [5, 5, 5])).toEqual([19, 11]);
  });

  it('the state is what it is at that step: behind the normaliser, the normalised one', () => {
    const opened = open(
      [normalize('', {}, ALL), relative({ enabled: true })],
      [absolute({ enabled: true }), normalize('un', {}, ALL)],
    );
    // (x + (s − 1)/2)·4 + 10
    expect(acted(opened, [1, -1], [3, 5, 0])[0]).toBeCloseTo(18, 5);
    expect(acted(opened, [1, -1], [3, 5, 0])[1]).toBeCloseTo(14, 5);
  });

  it('needs the step that keeps the state, and a state of an action’s length', () => {
    const alone = open([normalize('', {}, ALL)], [normalize('un', {}, ALL), absolute({ enabled: true })]);
    expect(() => alone.action(2)).toThrow(/has no such step/);
    expect(() => pair({ enabled: true }, { enabled: true }).action(4)).toThrow(
      expect.objectContaining({ code: 'weights_mismatch' }),
    );
  });
});

it('a joint that hardly moved in the training data is named at load', () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const opened = open([normalize('', {}, { ...ALL, [STATE]: [0, 0, 1] })], [normalize('un', {}, ALL)]);
  const [big] = seen(opened, STATE, [0.001, 0, 0]);
  expect(big).toBeCloseTo(1e5, 0);
  expect(warned.mock.calls.flat().join()).toMatch(/hardly moved .*observation\.state\[0\] \(0\.0\)/);
});

describe('pictures that are cut and scaled before they are normalised', () => {
  const camera = { type: 'VISUAL' as const, shape: [3, 4, 6] };
  const features = { 'observation.images.top': camera };
  const opened = (config: object, modes: object = {}) => {
    writeFileSync(
      join(dir, 'policy_preprocessor.json'),
      JSON.stringify({ steps: [step('image_crop_resize_processor', config)] }),
    );
    writeFileSync(join(dir, 'policy_postprocessor.json'), '{"steps":[]}');
    const processing = processingOf(dir, { ...CONFIG, input_features: features, ...modes }, undefined);
    return camerasOf(features, processing)[0]!;
  };
  const frame = (width: number, height: number) => ({
    stamp_ns: 0,
    values: {},
    images: {
      'observation.images.top': {
        ...{ width, height, channels: 3 as const },
        data: Uint8Array.from({ length: width * height * 3 }, (_, i) => Math.floor(i / 3) % 256),
      },
    },
  });

  it('a cut of frames of any size that holds it', () => {
    const cut = opened({ crop_params_dict: { 'observation.images.top': [1, 2, 4, 6] }, resize_size: null });
    expect(cameraSpec([cut])).toMatchObject({ any_size: ['observation.images.top'] });
    expect(cut).toMatchObject({ shape: [3, 5, 8], input: [4, 6, 3] });
    const { data, width, height } = framesOf(cut, [frame(10, 9)]);
    expect([width, height]).toEqual([6, 4]);
    // Pixel (y, x) of the frame is 10·y + x.
    expect([...data[0]!].filter((_, i) => i % 3 === 0)).toEqual(
      [12, 22, 32, 42].flatMap((first) => [0, 1, 2, 3, 4, 5].map((x) => first + x)),
    );
    expect(() => framesOf(cut, [frame(10, 9), frame(12, 9)])).not.toThrow();
  });

  it('a scale, of the frame as it comes or of its cut', () => {
    const scaled = opened({ resize_size: [4, 6] });
    expect(scaled).toMatchObject({ resize: [4, 6], input: [4, 6, 3] });
    expect(framesOf(scaled, [frame(12, 8)])).toMatchObject({ height: 8, width: 12, resize: [4, 6] });
    expect(() => framesOf(scaled, [frame(12, 8), frame(6, 4)])).toThrow(/frames of one size in a window/);
    const both = opened({
      crop_params_dict: { 'observation.images.top': [0, 0, 2, 3] },
      resize_size: [4, 6],
    });
    expect(framesOf(both, [frame(12, 8)])).toMatchObject({ height: 2, width: 3, resize: [4, 6] });
  });

  it('nothing of it where the step says nothing', () => {
    const plain = opened({ crop_params_dict: null, resize_size: null });
    expect(plain).toMatchObject({ shape: [3, 4, 6], input: [4, 6, 3] });
    expect(cameraSpec([plain])).not.toHaveProperty('any_size');
  });
});
