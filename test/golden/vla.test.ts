// SmolVLA, π0 and π0.5 against LeRobot's own classes (test/golden/{smolvla,pi0,pi05}_tiny): from raw pictures, state and task text to
// the chunk, with the noise that was recorded.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prefixWeights } from '../../src/control/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { statePrompt, TextEncoder, withNewline } from '../../src/policies/vla/text.js';
import { openSafetensors, readTensor } from '../../src/weights/index.js';
import { type Golden, golden, relativeError } from './golden.js';
import { recorded } from './vla-folder.js';

interface Io {
  readonly task: string;
  readonly missing_cameras: readonly string[];
  readonly tokenizer_vectors: readonly { text: string; ids: number[]; mask: number[] }[];
  readonly prompt_vectors?: readonly { normalised_state: number[]; task: string; prompt: string }[];
}

const KINDS = ['smolvla', 'pi0', 'pi05'] as const;
const ioOf = (io: Golden): Io => JSON.parse(readFileSync(join(io.dir, 'io.json'), 'utf8')) as Io;

describe.each(KINDS)('%s_tiny', (kind) => {
  const io = golden(`${kind}_tiny`);
  const { task, tokenizer_vectors, prompt_vectors } = ioOf(io);

  it('gives the peer’s chunk, twice from one observation', async () => {
    const policy = await loadPolicy(io.dir, { compute: { precision: 'f32' } });
    for (const [noise, want] of [
      ['noise', 'actions_normalised'],
      ['noise.second', 'actions_normalised.second'],
    ] as const) {
      const chunk = await policy.infer(recorded(io), { task, noise: io.get(noise) });
      const actions = normalised(io, chunk.actions);
      expect([noise, relativeError(actions, io.get(want)) < 2e-5]).toEqual([noise, true]);
    }
    const physical = await policy.infer(recorded(io), { task, noise: io.get('noise') });
    expect(relativeError(physical.actions, io.get('actions'))).toBeLessThan(2e-5);
  });

  it('in bf16 within a percent and a half', async () => {
    const policy = await loadPolicy(io.dir, { compute: { precision: 'bf16' } });
    const chunk = await policy.infer(recorded(io), { task, noise: io.get('noise') });
    expect(relativeError(chunk.actions, io.get('actions'))).toBeLessThan(1.5e-2);
  });

  it('candidates share one prefix and are each what they are alone', async () => {
    const policy = await loadPolicy(io.dir, { compute: { precision: 'f32' } });
    const noise = Float32Array.from([...io.get('noise'), ...io.get('noise.second')]);
    const { candidates } = await policy.infer(recorded(io), { task, noise, candidates: 2 });
    const n = io.get('actions').length;
    expect(
      relativeError(normalised(io, candidates!.slice(n)), io.get('actions_normalised.second')),
    ).toBeLessThan(2e-5);
  });

  it('is drawn towards what is left of the chunk before, as LeRobot does', async () => {
    const policy = await loadPolicy(io.dir, { precision: 'f32' });
    const weights = prefixWeights('linear', 2, 4, 10);
    const prefix = { actions: leftOver(io), weights, derivative: false };
    const chunk = await policy.infer(recorded(io), { task, noise: io.get('noise'), prefix });
    expect(relativeError(normalised(io, chunk.actions), io.get('rtc.actions_normalised'))).toBeLessThan(2e-5);
  });

  if (io.has('rtc_trained.actions_normalised'))
    it('takes the beginning of its chunk as it was trained to', async () => {
      const policy = await loadPolicy(io.dir, { precision: 'f32' });
      const infer = (delay: number, more: object = {}) => {
        const weights = Float32Array.from({ length: 10 }, (_, i) => (i < delay ? 1 : 0));
        const prefix = { actions: leftOver(io), weights, trained: true, ...more };
        return policy.infer(recorded(io), { task, noise: io.get('noise'), prefix });
      };
      const want = io.get('rtc_trained.actions_normalised');
      expect(relativeError(normalised(io, (await infer(3)).actions), want)).toBeLessThan(2e-5);
      await expect(infer(4)).rejects.toThrow(/1 to 3 rows.*got 4/);
      await expect(infer(0)).rejects.toThrow(/1 to 3 rows.*got 0/);
      // And without a prefix it is what it was.
      const free = await policy.infer(recorded(io), { task, noise: io.get('noise') });
      expect(relativeError(free.actions, io.get('actions'))).toBeLessThan(2e-5);
    });
  else
    it('was not trained with a beginning given, and says so', async () => {
      const policy = await loadPolicy(io.dir, { precision: 'f32' });
      const prefix = { actions: leftOver(io), weights: new Float32Array(10), trained: true };
      await expect(policy.infer(recorded(io), { task, prefix })).rejects.toThrow(
        /was not trained with the beginning/,
      );
      await expect(loadPolicy(io.dir, { joins: { trained: true } })).rejects.toThrow(/was not trained/);
    });

  it('reads text as the peer’s tokenizer does', () => {
    const table = { name: '', shape: [1000, 1], dtype: 'F32', file: '', offset: 0 };
    const { mask } = tokenizer_vectors[0]!;
    const encoder = TextEncoder.open([io.dir], undefined, 'the model', table, {
      length: mask.length,
      scale: 1,
      truncate: kind === 'smolvla' ? 'left' : 'right',
    });
    for (const { text, ids, mask } of tokenizer_vectors)
      expect([text, encoder.ids(text)]).toEqual([text, ids.filter((_, i) => mask[i] === 1)]);
  });

  if (prompt_vectors !== undefined)
    it('puts the state into the prompt', () => {
      for (const { normalised_state, task, prompt } of prompt_vectors)
        expect(statePrompt(task, Float32Array.from(normalised_state))).toBe(prompt);
    });

  it('needs a task, and a camera', async () => {
    const policy = await loadPolicy(io.dir, { compute: { precision: 'f32' } });
    await expect(policy.infer(recorded(io))).rejects.toThrow(/task: .*in words/);
    await expect(policy.infer({ ...recorded(io), images: {} }, { task })).rejects.toThrow(/at least one of/);
  });
});

it('a newline is added to a task that does not end with one', () => {
  expect(withNewline('go')).toBe('go\n');
  expect(withNewline('go\n')).toBe('go\n');
});

/** The recorded left-over in physical units, zeros of the model behind it. */
function leftOver(io: Golden): Float32Array {
  const dim = io.shape('actions').at(-1)!;
  const rows = new Float32Array(io.get('actions').length);
  const zero = normalised(io, rows);
  // normalised() is affine: x = (y − y₀)/slope, with y₀ and the slope of each column from two points.
  const one = normalised(
    io,
    rows.map(() => 1),
  );
  const left = new Float32Array(rows.length);
  left.set(io.get('rtc.prev_chunk_left_over'));
  return left.map((y, i) => (y - zero[i % dim]!) / (one[i % dim]! - zero[i % dim]!));
}

/** Physical actions as the model has them, by the statistics of the postprocessor. */
function normalised(io: Golden, actions: Float32Array): Float32Array {
  const config = io.config as { normalization_mapping: { ACTION: string } };
  const stats = openSafetensors(
    join(io.dir, 'policy_postprocessor_step_0_unnormalizer_processor.safetensors'),
  ).tensors;
  const read = (name: string): Float32Array => readTensor(stats.get(`action.${name}`)!);
  const dim = io.shape('actions').at(-1)!;
  if (config.normalization_mapping.ACTION === 'QUANTILES') {
    const [low, high] = [read('q01'), read('q99')];
    return actions.map((v, i) => (2 * (v - low[i % dim]!)) / (high[i % dim]! - low[i % dim]!) - 1);
  }
  const [mean, std] = [read('mean'), read('std')];
  return actions.map((v, i) => (v - mean[i % dim]!) / (std[i % dim]! + 1e-8));
}
