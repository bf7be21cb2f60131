// A ResNet under the names of transformers' ResNetModel (microsoft/resnet-18 … 152), down to the last stage's feature map,
// channels last. Its sizes are those of its tensors.

import type { GraphBuilder, Value } from '../native/index.js';
import type { Weights } from './weights.js';

export const isHubResnet = (weights: Weights, prefix: string): boolean =>
  weights.has(`${prefix}embedder.embedder.convolution.weight`);

/** x (frames, height, width, 3) → (frames, ⌈height/32⌉, ⌈width/32⌉, channels) of four stages. */
export function hubResnet(g: GraphBuilder, weights: Weights, prefix: string, x: Value): Value {
  /** A convolution without bias, and its batch norm. */
  const conv = (v: Value, name: string, stride = 1): Value => {
    const key = `${prefix}${name}.convolution.weight`;
    const [out, , kernel] = weights.ref(key, [-1, v.shape[3]!, -1, -1]).shape as [number, number, number];
    const weight = weights.weight(g, key, [out, v.shape[3]!, kernel, kernel]);
    const h = g.conv2d(v, weight, undefined, { stride, pad: Math.floor(kernel / 2) });
    const part = (which: string): Value =>
      weights.weight(g, `${prefix}${name}.normalization.${which}`, [out]);
    return g.batchNorm(h, part('weight'), part('bias'), part('running_mean'), part('running_var'));
  };
  const relu = (v: Value): Value => g.unary('relu', v);
  const has = (name: string): boolean => weights.has(`${prefix}${name}.convolution.weight`);

  const block = (v: Value, name: string, stride: number): Value => {
    // Of a bottleneck it is the second convolution that strides, of a plain block the first.
    const bottleneck = has(`${name}.layer.2`);
    let h = relu(conv(v, `${name}.layer.0`, bottleneck ? 1 : stride));
    h = conv(h, `${name}.layer.1`, bottleneck ? stride : 1);
    if (bottleneck) h = conv(relu(h), `${name}.layer.2`);
    return relu(g.add(h, has(`${name}.shortcut`) ? conv(v, `${name}.shortcut`, stride) : v));
  };

  weights.ignore(new RegExp(`^${prefix.replaceAll('.', '\\.')}.*\\.num_batches_tracked$`));
  let h = relu(conv(x, 'embedder.embedder', 2));
  h = g.maxPool2d(h, { kernel: 3, stride: 2, pad: 1 });
  const layer = (stage: number, i: number): string => `encoder.stages.${stage}.layers.${i}`;
  for (let stage = 0; has(`${layer(stage, 0)}.layer.0`); stage++)
    for (let i = 0; has(`${layer(stage, i)}.layer.0`); i++)
      h = block(h, layer(stage, i), stage > 0 && i === 0 ? 2 : 1);
  return h;
}
