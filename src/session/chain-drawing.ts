// An arm as its URDF's chain of joints: a ball where each joint is, a rod from one to the next, and the floor of the box
// that its tip must not leave. Enough to see what a robot does and where its chunks lead, without its meshes.

import { TipPosition } from '../control/index.js';
import type { LiveScene, Workspace } from '../types/index.js';

type Shape = LiveScene['shapes'][number];

const JOINT_M = 0.032;
const ROD_M = 0.02;
/** Joints nearer to each other than this have no rod between them. */
const SHORT_M = 0.03;
const FLOOR_M = 0.002;
const LIGHT = [0.86, 0.88, 0.91, 1] as const;
const ORANGE = [0.93, 0.49, 0.19, 1] as const;

export class ChainDrawing {
  readonly shapes: readonly Shape[];
  private readonly tip: TipPosition;
  private readonly n_joints: number;
  /** Point i to i + 1 has a rod. A rod of a slide is as long as with the slide at 0. */
  private readonly rods: readonly number[];

  constructor(private readonly workspace: Workspace) {
    this.tip = new TipPosition(workspace);
    this.n_joints = workspace.chain.length;
    const joints = 1 + Math.max(0, ...workspace.chain.map(({ joint }) => joint));
    const points = this.tip.points(new Float64Array(joints));
    const length = (i: number): number =>
      Math.hypot(...[0, 1, 2].map((k) => points[3 * i + 3 + k]! - points[3 * i + k]!));
    this.rods = Array.from({ length: this.n_joints }, (_, i) => i).filter((i) => length(i) > SHORT_M);
    const { lower, upper } = workspace;
    const half = (i: number): number => (upper[i]! - lower[i]!) / 2;
    this.shapes = [
      ...workspace.chain.map((_, i) => shape(`joint ${i}`, 'sphere', [JOINT_M, 0, 0], LIGHT)),
      shape('tip', 'sphere', [JOINT_M, 0, 0], ORANGE),
      ...this.rods.map((i) => shape(`rod ${i}`, 'capsule', [ROD_M, length(i) / 2, 0], ORANGE)),
      shape('floor', 'box', [half(0), half(1), FLOOR_M], [0.45, 0.6, 0.75, 0.25], 'scene'),
    ];
  }

  /** (shapes, 7) with the joints at `q`: x y z qw qx qy qz. */
  poses(q: ArrayLike<number>): Float32Array {
    const points = this.tip.points(q);
    const poses = new Float32Array(7 * this.shapes.length);
    let at = 0;
    const place = (position: readonly number[], turn: readonly number[]): void => {
      poses.set([...position, ...turn], at);
      at += 7;
    };
    const point = (i: number): number[] => [...points.subarray(3 * i, 3 * i + 3)];
    const middle = (a: readonly number[], b: readonly number[]): number[] => a.map((v, i) => (v + b[i]!) / 2);
    for (let i = 0; i <= this.n_joints; i++) place(point(i), [1, 0, 0, 0]);
    for (const i of this.rods) place(middle(point(i), point(i + 1)), turnTo(point(i), point(i + 1)));
    const { lower, upper } = this.workspace;
    place([...middle(lower, upper).slice(0, 2), lower[2]!], [1, 0, 0, 0]);
    return poses;
  }

  /** Where the tip is with the joints at `q`, m; to be copied before the next is asked for. */
  hand(q: ArrayLike<number>): Float64Array {
    return this.tip.at(q);
  }
}

/** The quaternion (w, x, y, z) that turns the z axis towards `b` from `a`. */
function turnTo(a: readonly number[], b: readonly number[]): number[] {
  const [x, y, z] = b.map((v, i) => v - a[i]!) as [number, number, number];
  const length = Math.hypot(x, y, z);
  // Straight down any axis in the plane does.
  const w = length + z;
  const turn = w < 1e-9 * length ? [0, 1, 0, 0] : [w, -y, x, 0];
  const norm = Math.hypot(...turn) || 1;
  return turn.map((v) => v / norm);
}

function shape(
  name: string,
  kind: string,
  size: readonly [number, number, number],
  rgba: readonly [number, number, number, number],
  role = 'robot',
): Shape {
  return { name, kind, size, rgba, role };
}
