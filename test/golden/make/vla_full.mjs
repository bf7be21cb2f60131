// A checkpoint folder of SmolVLA, π0 or π0.5 at its published size from the recorded names and shapes, with drawn weights in bf16
// (their deviation is 1/√inputs) and drawn statistics: what `tendon check` and the bench are run on where no published weights are
// at hand.
//   node test/golden/make/vla_full.mjs smolvla_base OUT      0.9 GB; pi0_base 7.0 GB, pi05_base 7.2 GB

import { closeSync, cpSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [name, out] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: vla_full.mjs smolvla_base|pi0_base|pi05_base OUT');
const goldens = join(dirname(fileURLToPath(import.meta.url)), '..');
const kind = name.replace('_base', '');
const config = JSON.parse(readFileSync(join(goldens, 'keys', `${name}.config.json`), 'utf8'));
const shapes = readFileSync(join(goldens, 'keys', `${name}.txt`), 'utf8')
  .trim()
  .split('\n')
  .map((line) => {
    const [key, shape] = line.split('\t');
    return [key, (shape.match(/\d+/g) ?? []).map(Number)];
  });

/** Normal numbers in bf16 by a table of 65,536 of them, read in an order that xorshift draws. */
const table = new Float32Array(1 << 16);
let state = 88172645;
const next = () => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
};
for (let i = 0; i < table.length; i++) {
  const u = (next() + 1) / 2 ** 32;
  table[i] = Math.sqrt(-2 * Math.log(u)) * Math.cos((2 * Math.PI * next()) / 2 ** 32);
}
const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);
function scaled(deviation, mean) {
  return Uint16Array.from(table, (v) => {
    float[0] = mean + v * deviation;
    return (bits[0] + 0x8000) >>> 16;
  });
}

mkdirSync(out, { recursive: true });
const header = {};
let at = 0;
for (const [key, shape] of shapes) {
  const bytes = 2 * shape.reduce((n, d) => n * d, 1);
  header[key] = { dtype: 'BF16', shape, data_offsets: [at, at + bytes] };
  at += bytes;
}
const text = Buffer.from(JSON.stringify(header));
const length = Buffer.alloc(8);
length.writeBigUInt64LE(BigInt(text.length));
const file = openSync(join(out, 'model.safetensors'), 'w');
writeSync(file, length);
writeSync(file, text);
const piece = new Uint16Array(1 << 21);
for (const [key, shape] of shapes) {
  const count = shape.reduce((n, d) => n * d, 1);
  const inputs = shape.length > 1 ? count / shape[0] : 1;
  // Gemma multiplies by 1 + w, everything else that is a norm by w.
  const norm = /norm/.test(key) && shape.length === 1 && key.endsWith('weight');
  const mean = norm && (kind === 'smolvla' || /vision|layer_norm/.test(key)) ? 1 : 0;
  const numbers = scaled(shape.length > 1 ? 1 / Math.sqrt(inputs) : 0.02, mean);
  for (let done = 0; done < count; done += piece.length) {
    const n = Math.min(piece.length, count - done);
    for (let i = 0; i < n; i++) piece[i] = numbers[next() & 0xffff];
    writeSync(file, Buffer.from(piece.buffer, 0, 2 * n));
  }
}
closeSync(file);
writeFileSync(join(out, 'config.json'), JSON.stringify({ ...config, type: kind }));

// Statistics by quantiles and by moments, and the recorded case's small tokenizer, whose tokens the table has.
const numbers = (dim, v) => ({ dim, values: new Float32Array(dim).fill(v) });
const stats = {};
for (const [feature, { type, shape }] of Object.entries({
  ...config.input_features,
  ...config.output_features,
}))
  if (type !== 'VISUAL')
    for (const [stat, v] of Object.entries({ mean: 0.1, std: 0.7, q01: -1, q99: 1.2, min: -2, max: 2 }))
      stats[`${feature}.${stat}`] = numbers(shape[0], v);
const entries = Object.entries(stats);
let offset = 0;
const parts = Object.fromEntries(
  entries.map(([key, { dim }]) => {
    offset += 4 * dim;
    return [key, { dtype: 'F32', shape: [dim], data_offsets: [offset - 4 * dim, offset] }];
  }),
);
const head = Buffer.from(JSON.stringify(parts));
const size = Buffer.alloc(8);
size.writeBigUInt64LE(BigInt(head.length));
const body = Buffer.concat([size, head, ...entries.map(([, { values }]) => Buffer.from(values.buffer))]);
writeFileSync(join(out, 'stats.safetensors'), body);
const common = { eps: 1e-8, norm_map: config.normalization_mapping };
const step = (registry_name, features) => ({
  registry_name,
  config: { ...common, features },
  state_file: 'stats.safetensors',
});
const write = (which, step) =>
  writeFileSync(join(out, `policy_${which}processor.json`), JSON.stringify({ name: which, steps: [step] }));
write('pre', step('normalizer_processor', { ...config.input_features, ...config.output_features }));
write('post', step('unnormalizer_processor', config.output_features));
cpSync(join(goldens, `${kind}_tiny`, 'tokenizer'), join(out, 'tokenizer'), { recursive: true });
