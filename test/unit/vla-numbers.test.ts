// What VLAs make of pictures and of ALOHA's joints, with numbers worked out by hand.

import { describe, expect, it } from 'vitest';
import { alohaMap } from '../../src/policies/vla/aloha.js';
import { writePicture } from '../../src/policies/vla/pictures.js';

/** White, `width` × `height`, brought into 8 × 8: which pixels are picture, as rows of marks. */
function placed(width: number, height: number, padding: 'left_top' | 'centred', pad?: number): string[] {
  const out = new Float32Array(8 * 8 * 3);
  const data = new Uint8Array(width * height * 3).fill(255);
  writePicture({ width, height, channels: 3, data }, 8, padding, out, 0, pad);
  const mark = (v: number): string => (v === 1 ? '#' : v === -1 ? '.' : String(v));
  return Array.from({ length: 8 }, (_, y) =>
    Array.from({ length: 8 }, (_, x) => mark(out[(y * 8 + x) * 3]!)).join(''),
  );
}

describe('pictures', () => {
  it('SmolVLA and π0 of LeRobot 0.3 pad above and on the left, later π0 around', () => {
    expect(placed(16, 6, 'left_top')).toEqual([...Array(5).fill('........'), ...Array(3).fill('########')]);
    expect(placed(16, 6, 'centred')).toEqual([
      ...Array(2).fill('........'),
      ...Array(3).fill('########'),
      ...Array(3).fill('........'),
    ]);
    expect(placed(6, 16, 'left_top')).toEqual(Array(8).fill('.....###'));
    expect(placed(6, 16, 'centred')).toEqual(Array(8).fill('..###...'));
  });

  it('LeRobot 0.4 padded with −3', () => {
    expect(placed(4, 8, 'centred', -3)).toEqual(Array(8).fill('-3-3####-3-3'));
  });
});

describe('ALOHA', () => {
  const state = (way: 'lerobot' | 'openpi', gripper: number): Float32Array => {
    const rows = Float32Array.from({ length: 14 }, (_, i) => (i === 6 || i === 13 ? gripper : i + 1));
    alohaMap(way, 14, 14).state(rows);
    return rows;
  };

  it('turns four joints, and makes angles of grippers', () => {
    // Open, 0.058 m, the sine is (0.022² + 0.058² − 0.036²) / (2 · 0.022 · 0.058) = 1: an angle of π/2.
    const open = state('lerobot', 1);
    expect([...open].map((v, i) => (i === 6 || i === 13 ? 0 : v))).toEqual([
      ...[1, -2, -3, 4, 5, 6, 0],
      ...[8, -9, -10, 11, 12, 13, 0],
    ]);
    expect(open[6]).toBeCloseTo((Math.PI / 2 - 0.4) / 1.1, 5);
    expect(state('openpi', 1)[13]).toBeCloseTo((Math.PI / 2 - 0.5476) / 1.082, 5);
  });

  it('gives actions as shares of the leader’s gripper, and back', () => {
    for (const [way, half] of [
      ['lerobot', 0.5 * 1.1 + 0.4],
      ['openpi', 0.5 + 0.5476],
    ] as const) {
      const { decode, encode } = alohaMap(way, 14, 14);
      const rows = new Float32Array(28).fill(0.5);
      decode(rows);
      expect(rows[20]).toBeCloseTo((half + 0.6213) / 2.1123, 5);
      expect([rows[14], rows[15]]).toEqual([0.5, -0.5]);
      encode(rows);
      for (const v of rows) expect(v).toBeCloseTo(0.5, 6);
    }
  });

  it('needs fourteen numbers', () => {
    expect(() => alohaMap('openpi', 7, 14)).toThrow(/14 numbers/);
  });
});
