import { it } from 'vitest';
import { addon, GraphBuilder } from '../../src/native/index.js';
import { prefixCache, siglip, rmsNorm, queries, keysValues, repeatHeads, attended, gatedMlp } from '../../src/networks/index.js';
import { Checkpoint } from '../../src/policies/checkpoint.js';
import { prefixInputs, prefixNumbers } from '../../src/policies/vla/prefix.js';
import { golden, relativeError } from './golden.js';
it('dbg', async () => {
  const io = golden('pi0_tiny');
  const t = Checkpoint.open(io.dir).tensors('pi0');
  const st = { heads: 4, kv_heads: 1, head_dim: 16, one_plus: true, eps: 1e-6, activation: 'gelu_tanh' } as const;
  const g = new GraphBuilder();
  const P = 72;
  const inputs = prefixInputs(g, P, 10, 16);
  const e = g.input('e', [1, P, 64], 'observation');
  const cache = prefixCache(g, t as never, 'model.paligemma_with_expert.paligemma.model.language_model.', 3, e, st, inputs.rotation, inputs.mask);
  g.output('k0', g.affine(cache[0]!.k, 1, 0));
  g.output('v0', g.affine(cache[0]!.v, 1, 0));
  g.output('k2', g.affine(cache[2]!.k, 1, 0));
  g.output('v2', g.affine(cache[2]!.v, 1, 0));
  const W = t as never; const L='model.paligemma_with_expert.paligemma.model.language_model.layers.0.';
  const n = rmsNorm(g, W, st)(e, L+'input_layernorm');
  const q = queries(g, W, L, n, st, inputs.rotation); const kv = keysValues(g, W, L, n, st, inputs.rotation);
  g.output('q', g.affine(q,1,0)); g.output('kr', g.affine(repeatHeads(g, kv.k, 1, 4),1,0)); g.output('vr', g.affine(repeatHeads(g, kv.v, 1, 4),1,0));
  const at = attended(g, W, L, q, [kv], inputs.mask, st); g.output('at', g.affine(at,1,0));
  const h1 = g.add(e, at); g.output('x1', g.affine(h1,1,0));
 g.output('o1', g.add(h1, gatedMlp(g, W, L, rmsNorm(g, W, st)(h1, L+'post_attention_layernorm'), st)));
  const img = g.input('img', [1, 56, 56, 3], 'observation');
  g.output('vis', siglip(g, t as never, { prefix: 'model.paligemma_with_expert.paligemma.model.vision_tower.vision_model.', heads: 3 }, img));
  const model = await addon().compileModel(g.native, { precision: 'f32' });
  const session = await model.openSession({ batch: 1 });
  const mask = [...io.get('prefix.pad_mask')].map((m) => m === 1);
  const all = { ...prefixNumbers(mask, 16, 11, 10, () => true), e: io.get('prefix.embeddings'), img: hwc(io) };
  const ins = Object.fromEntries(Object.entries(all).filter(([k]) => session.inputs.some((i) => i.name === k)));
  const { outputs } = await session.run(ins);
  const pick = (a: Float32Array, n: number) => mask.flatMap((m, i) => (m ? [...a.slice(i * n, (i + 1) * n)] : []));
  for (const [name, key] of [['k0', 'cache.layer0.k'], ['v0', 'cache.layer0.v'], ['k2', 'cache.layer2.k'], ['v2', 'cache.layer2.v']] as const)
    console.log(name, relativeError(pick(outputs[name]!, 16), pick(io.get(key), 16)));
  console.log('layer0', relativeError(pick(outputs.o1!, 64), pick(io.get('prefix.layer0.out'), 64)));
  console.log('q', outputs.q!.slice(0,4), 'kr', outputs.kr!.slice(0,64).reduce((a,b,i)=>a+(Math.abs(b-outputs.kr![i%16]!)),0), 'vr', outputs.vr!.slice(0,64).reduce((a,b,i)=>a+(Math.abs(b-outputs.vr![i%16]!)),0), [...outputs.x1!.slice(0,4)]);
  console.log('vis', relativeError(outputs.vis!, io.get('vision.0.post_layernorm')));
});
function hwc(io: ReturnType<typeof golden>) {
  const d = io.get('image.0');
  return Float32Array.from({ length: 56 * 56 * 3 }, (_, i) => d[(i % 3) * 3136 + Math.floor(i / 3)]!);
}
