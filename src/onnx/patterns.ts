// Functions that exporters take apart, recognised by who made their inputs: Mish, GELU, SiLU, and layer norm.

import type { OnnxNode } from '../weights/index.js';
import type { Constant } from './constants.js';

/** What a pattern may ask of the graph around a node. */
export interface Around {
  /** The node that made a value. */
  maker(name: string): OnnxNode | undefined;
  /** The value of a constant with one element. */
  scalar(name: string): number | undefined;
  constant(name: string): Constant | undefined;
}

const near = (a: number | undefined, b: number): boolean =>
  a !== undefined && Math.abs(a - b) < 1e-4 * Math.abs(b);

/** The other input of a two-input node. */
const other = (node: OnnxNode, name: string): string =>
  node.inputs[0] === name ? node.inputs[1]! : node.inputs[0]!;

/** x·tanh(softplus(x)), x·sigmoid(x) or ½x(1 + erf(x/√2)): the function and x. */
export function activationOf(
  node: OnnxNode,
  around: Around,
): { name: 'mish' | 'silu' | 'gelu'; x: string } | undefined {
  if (node.op !== 'Mul') return undefined;
  for (const name of node.inputs) {
    const x = other(node, name);
    const made = around.maker(name);
    if (made?.op === 'Sigmoid' && made.inputs[0] === x) return { name: 'silu', x };
    if (made?.op === 'Tanh') {
      const soft = around.maker(made.inputs[0]!);
      if (soft?.op === 'Softplus' && soft.inputs[0] === x) return { name: 'mish', x };
    }
  }
  return gelu(node, around);
}

/** (x·(1 + erf(x/√2)))·½ or (x·½)·(1 + erf(x/√2)), in any order. */
function gelu(node: OnnxNode, around: Around): { name: 'gelu'; x: string } | undefined {
  for (const name of node.inputs) {
    const rest = other(node, name);
    const inner = around.maker(name);
    if (near(around.scalar(rest), 0.5) && inner?.op === 'Mul')
      for (const grown of inner.inputs) {
        const x = other(inner, grown);
        if (isGrownErf(grown, x, around)) return { name: 'gelu', x };
      }
    if (inner?.op === 'Mul')
      for (const half of inner.inputs) {
        const x = other(inner, half);
        if (near(around.scalar(half), 0.5) && isGrownErf(rest, x, around)) return { name: 'gelu', x };
      }
  }
  return undefined;
}

function isGrownErf(name: string, x: string, around: Around): boolean {
  const add = around.maker(name);
  if (add?.op !== 'Add') return false;
  return add.inputs.some((one) => {
    const erf = around.maker(other(add, one));
    if (!near(around.scalar(one), 1) || erf?.op !== 'Erf') return false;
    const scaled = around.maker(erf.inputs[0]!);
    if (scaled === undefined || !scaled.inputs.includes(x)) return false;
    const by = around.scalar(other(scaled, x));
    return scaled.op === 'Div' ? near(by, Math.SQRT2) : scaled.op === 'Mul' && near(by, Math.SQRT1_2);
  });
}

/** (x − mean x) / √(mean (x − mean x)² + eps) over the last axis: x and eps. */
export function layerNormOf(node: OnnxNode, around: Around): { x: string; eps: number } | undefined {
  if (node.op !== 'Div') return undefined;
  const centred = around.maker(node.inputs[0]!);
  const root = around.maker(node.inputs[1]!);
  if (centred?.op !== 'Sub' || root?.op !== 'Sqrt') return undefined;
  const x = centred.inputs[0]!;
  const mean = around.maker(centred.inputs[1]!);
  const sum = around.maker(root.inputs[0]!);
  if (mean?.op !== 'ReduceMean' || mean.inputs[0] !== x || sum?.op !== 'Add') return undefined;
  for (const part of sum.inputs) {
    const eps = around.scalar(other(sum, part));
    const variance = around.maker(part);
    if (eps === undefined || variance?.op !== 'ReduceMean') continue;
    if (!isLast(mean, around) || !isLast(variance, around)) continue;
    const square = around.maker(variance.inputs[0]!);
    const isSquare =
      (square?.op === 'Pow' && around.scalar(square.inputs[1]!) === 2) ||
      (square?.op === 'Mul' && square.inputs[0] === square.inputs[1]);
    // Some exporters centre twice.
    const base = square === undefined ? undefined : around.maker(square.inputs[0]!);
    const centres = square?.inputs[0] === node.inputs[0] || (base?.op === 'Sub' && base.inputs[0] === x);
    if (isSquare && centres) return { x, eps };
  }
  return undefined;
}

function isLast(reduce: OnnxNode, around: Around): boolean {
  const axes =
    (reduce.attributes.axes as number[] | undefined) ?? around.constant(reduce.inputs[1] ?? '')?.numbers();
  return axes?.length === 1 && axes[0] === -1;
}
