// Bilinear resizing inside the network, as torch's interpolate does it without antialiasing (half-pixel centres, edges
// repeated): torchvision's Resize of tensors before 0.17, which diffusion_policy and UMI were trained with. Frames are
// resized with antialiasing before the network (Camera.resize).

import type { GraphBuilder, Value } from '../native/index.js';

const { fround } = Math;

/** x (frames, h, w, channels) → (frames, height, width, channels) */
export function bilinear(g: GraphBuilder, x: Value, height: number, width: number): Value {
  const [, h, w] = x.shape as [number, number, number];
  let y = x;
  if (h !== height) y = g.permute(g.linear(g.permute(y, [0, 3, 2, 1]), taps(g, h, height)), [0, 3, 2, 1]);
  if (w !== width) y = g.permute(g.linear(g.permute(y, [0, 1, 3, 2]), taps(g, w, width)), [0, 1, 3, 2]);
  return y;
}

/** (to, from): the two numbers that each output is between, by how near it is to them. */
function taps(g: GraphBuilder, from: number, to: number): Value {
  const matrix = new Float32Array(to * from);
  const scale = fround(from / to);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, fround(fround(scale * (i + 0.5)) - 0.5));
    const low = Math.min(Math.floor(at), from - 1);
    const share = fround(at - low);
    matrix[i * from + low]! += 1 - share;
    matrix[i * from + Math.min(low + 1, from - 1)]! += share;
  }
  return g.constant(matrix, [to, from]);
}
