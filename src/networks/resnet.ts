// torchvision's ResNet 18, 34 and 50 (models/resnet.py) down to the last stage's feature map, channels last. Policies
// keep them under torchvision's names or as a Sequential of its children; batch norm is folded away by the compiler.

import type { GraphBuilder, Value } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { readTensor } from '../weights/index.js';
import type { Weights } from './weights.js';

export interface Resnet {
  readonly backbone: string;
  /** Key of the module that holds it. */
  readonly prefix: string;
  /** `torchvision`: conv1, bn1, layer1 …; `sequential`: 0, 1, 4 …, as nn.Sequential(*children) numbers them. */
  readonly naming: 'torchvision' | 'sequential';
  /** Group norm of 16 channels a group in place of batch norm. */
  readonly group_norm: boolean;
  /** Stages of the four, from the first; all when absent. */
  readonly stages?: number;
  /** The last stage keeps its resolution and spreads its taps instead. */
  readonly dilate_last?: boolean;
  /** Convolutions stay f32 in every precision. */
  readonly exact?: boolean;
}

/** Blocks per stage, and whether they are bottlenecks (1×1, 3×3, 1×1 to four times the width). */
const DEPTHS: Readonly<Record<string, { blocks: readonly number[]; bottleneck: boolean }>> = {
  resnet18: { blocks: [2, 2, 2, 2], bottleneck: false },
  resnet34: { blocks: [3, 4, 6, 3], bottleneck: false },
  resnet50: { blocks: [3, 4, 6, 3], bottleneck: true },
};
const WIDTHS = [64, 128, 256, 512];

/** x (frames, height, width, channels) → (frames, ⌈height/32⌉, ⌈width/32⌉, 512 or 2048) */
export function resnet(g: GraphBuilder, weights: Weights, net: Resnet, x: Value): Value {
  const depth = Object.hasOwn(DEPTHS, net.backbone) ? DEPTHS[net.backbone] : undefined;
  if (depth === undefined)
    throw new TendonError(
      'unsupported',
      `vision_backbone: expected ${Object.keys(DEPTHS).join(', ')}, got "${net.backbone}"`,
    );
  if (net.dilate_last && !depth.bottleneck)
    throw new TendonError(
      'config_invalid',
      `replace_final_stride_with_dilation: ${net.backbone} has no dilated blocks (nor has torchvision's); only resnet50 has`,
    );
  const [conv1, bn1, stage] =
    net.naming === 'torchvision'
      ? ['conv1', 'bn1', (i: number) => `layer${i + 1}`]
      : (['0', '1', (i: number) => String(i + 4)] as const);
  weights.ignore(new RegExp(`^${escaped(net.prefix)}.*\\.num_batches_tracked$`));
  const { exact = false } = net;

  const norm = (v: Value, name: string): Value => {
    const n = v.shape[3]!;
    const part = (which: string): Value => weights.weight(g, `${net.prefix}${name}.${which}`, [n]);
    return net.group_norm
      ? g.groupNorm(v, part('weight'), part('bias'), n / 16)
      : g.batchNorm(v, part('weight'), part('bias'), part('running_mean'), part('running_var'));
  };
  const conv = (v: Value, name: string, out: number, kernel: number, stride = 1, dilation = 1): Value => {
    const key = `${net.prefix}${name}.weight`;
    const shape = [out, v.shape[3]!, kernel, kernel];
    const weight = dilation === 1 ? weights.weight(g, key, shape) : dilated(g, weights, key, shape, dilation);
    const pad = dilation * Math.floor(kernel / 2);
    return g.conv2d(v, weight, undefined, { stride, pad, exact });
  };
  const relu = (v: Value): Value => g.unary('relu', v);

  const block = (v: Value, name: string, width: number, stride: number, dilation: number): Value => {
    const out = depth.bottleneck ? 4 * width : width;
    let h: Value;
    if (depth.bottleneck) {
      h = relu(norm(conv(v, `${name}.conv1`, width, 1), `${name}.bn1`));
      h = relu(norm(conv(h, `${name}.conv2`, width, 3, stride, dilation), `${name}.bn2`));
      h = norm(conv(h, `${name}.conv3`, out, 1), `${name}.bn3`);
    } else {
      h = relu(norm(conv(v, `${name}.conv1`, width, 3, stride), `${name}.bn1`));
      h = norm(conv(h, `${name}.conv2`, width, 3), `${name}.bn2`);
    }
    const shortcut =
      stride === 1 && v.shape[3] === out
        ? v
        : norm(conv(v, `${name}.downsample.0`, out, 1, stride), `${name}.downsample.1`);
    return relu(g.add(h, shortcut));
  };

  let h = relu(
    norm(g.conv2d(x, stem(g, weights, net, conv1, x), undefined, { stride: 2, pad: 3, exact }), bn1),
  );
  h = g.maxPool2d(h, { kernel: 3, stride: 2, pad: 1 });
  depth.blocks.slice(0, net.stages).forEach((count, i) => {
    const spread = i === 3 && net.dilate_last === true;
    for (let j = 0; j < count; j++) {
      const stride = j === 0 && i > 0 && !spread ? 2 : 1;
      // The first block of a dilated stage still has the dilation of the stage before: none.
      h = block(h, `${stage(i)}.${j}`, WIDTHS[i]!, stride, spread && j > 0 ? 2 : 1);
    }
  });
  return h;
}

function stem(g: GraphBuilder, weights: Weights, net: Resnet, name: string, x: Value): Value {
  return weights.weight(g, `${net.prefix}${name}.weight`, [64, x.shape[3]!, 7, 7]);
}

/** A kernel with zeros between its taps: the core's convolutions have no dilation, and few policies ask for one. */
function dilated(
  g: GraphBuilder,
  weights: Weights,
  key: string,
  [out, from, kernel]: readonly number[],
  dilation: number,
): Value {
  const values = readTensor(weights.ref(key, [out!, from!, kernel!, kernel!]));
  const size = dilation * (kernel! - 1) + 1;
  const spread = new Float32Array(out! * from! * size * size);
  for (let plane = 0; plane < out! * from!; plane++)
    for (let y = 0; y < kernel!; y++)
      for (let x = 0; x < kernel!; x++)
        spread[(plane * size + y * dilation) * size + x * dilation] =
          values[(plane * kernel! + y) * kernel! + x]!;
  return g.constant(spread, [out!, from!, size, size]);
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
