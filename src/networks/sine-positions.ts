// The two-dimensional sine positions of DETR's feature maps (LeRobot's ACTSinusoidalPositionEmbedding2d).

/** (h·w, dim), rows of the map one after the other: half of the channels for y, half for x; sine, cosine in turn. */
export function sinePositions(h: number, w: number, dim: number): Float32Array {
  const half = dim / 2;
  const out = new Float32Array(h * w * dim);
  const write = (at: number, index: number, length: number): void => {
    const angle = ((index + 1) / (length + 1e-6)) * 2 * Math.PI;
    for (let k = 0; k < half; k++) {
      const phase = angle / 1e4 ** ((2 * Math.floor(k / 2)) / half);
      out[at + k] = k % 2 === 0 ? Math.sin(phase) : Math.cos(phase);
    }
  };
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      write((y * w + x) * dim, y, h);
      write((y * w + x) * dim + half, x, w);
    }
  return out;
}
