// OGBench's ImpalaEncoder (utils/encoders.py): stacks of convolution, max pooling and residual blocks over (batch, h, w,
// channels) of bytes / 255, then a dense layer. The original HIQL's has no dense layer.

import type { GraphBuilder, Value } from '../../native/index.js';
import type { Flax } from '../../networks/index.js';

/** x in [0, 255] */
export function impala(g: GraphBuilder, net: Flax, x: Value): Value {
  let h = g.affine(x, 1 / 255, 0);
  for (let i = 0; net.has(`stack_blocks_${i}`); i++) h = stack(g, net.at(`stack_blocks_${i}`), h);
  h = g.unary('relu', h);
  const flat = g.reshape(h, [h.shape[0]!, h.shape.slice(1).reduce((n, d) => n * d, 1)]);
  return net.has('MLP_0')
    ? net.at('MLP_0').mlp(g, flat, { activation: 'gelu_tanh', activate_final: true })
    : flat;
}

/** Conv_0, pooling, then two convolutions a block. */
function stack(g: GraphBuilder, net: Flax, x: Value): Value {
  let h = maxPoolSame(g, net.conv(g, x, 'Conv_0'));
  for (let i = 1; net.has(`Conv_${i}`); i += 2) {
    const inner = net.conv(g, g.unary('relu', h), `Conv_${i}`);
    h = g.add(h, net.conv(g, g.unary('relu', inner), `Conv_${i + 1}`));
  }
  return h;
}

/**
 * 3×3, stride 2, padding SAME: an odd length is padded by one on both sides, an even one at its end alone. Padding repeats
 * the border, which no maximum of its window notices.
 */
function maxPoolSame(g: GraphBuilder, x: Value): Value {
  let h = x;
  for (const axis of [1, 2]) {
    const n = h.shape[axis]!;
    const end = g.slice(h, axis, n - 1, 1);
    h = g.concat(n % 2 === 0 ? [h, end] : [g.slice(h, axis, 0, 1), h, end], axis);
  }
  return g.maxPool2d(h, { kernel: 3, stride: 2, pad: 0 });
}
