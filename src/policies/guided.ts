// Real-time chunking's guidance as its paper has it (Black et al. 2025, eq. 2 to 4; ΠGDM, Song et al. 2023): the
// denoised estimate D is drawn towards the prefix P through its own derivative, D′ = D + gain·Jᵀ(W∘(P − D)). Where the
// network is sure of an action whatever the noise, J is small and the new observation has its way; where it could go
// either way, J is large and the chunk in force decides.

import { type GraphBuilder, type Value, vectorJacobian } from '../native/index.js';
import type { SamplerTable } from '../samplers/index.js';
import { TendonError } from '../types/index.js';

/** The output of a guided graph to denoise with. */
export const GUIDED = 'guided';
/** The paper's clipping of the guidance weight. */
const MOST = 5;

/**
 * Adds to a denoiser (step input x, first output F) the output `guided`, an F′ that gives D′; observation inputs prefix
 * (1, horizon, action_dim) and prefix_weights (1, horizon, 1), and four numbers per call (guideSchedule).
 */
export function guidedGraph(g: GraphBuilder): GraphBuilder {
  const node = (id: number): Value => ({ id, shape: g.nodes[id]!.shape });
  const inputs = g.nodes.flatMap((n, id) => (n?.op === 'input' && n.stage === 'step' ? [id] : []));
  if (inputs.length !== 1 || g.outputs.length === 0)
    throw new TendonError(
      'graph_invalid',
      `guidance needs one step input and an output, got ${inputs.length} and ${g.outputs.length}`,
    );
  const x = node(inputs[0]!);
  const F = node(g.outputs[0]!.id);
  const [, horizon, action_dim] = x.shape as [number, number, number];
  const number = (name: string): Value => g.input(name, [1, 1, 1], 'schedule');
  const prefix = g.input('prefix', [1, horizon, action_dim], 'observation');
  const weights = g.input('prefix_weights', [1, horizon, 1], 'observation');
  const D = g.add(g.mul(x, number('guide_x')), g.mul(F, number('guide_f')));
  const error = g.mul(g.binary('sub', prefix, D), weights);
  const back = vectorJacobian(g, F, x, error);
  g.output(
    GUIDED,
    g.add(F, g.add(g.mul(error, number('guide_straight')), g.mul(back, number('guide_back')))),
  );
  return g;
}

/** The network is given c_in·x, and D = a_x·x + a_f·F: what each call's numbers are. */
export function guideSchedule({ rows, gains }: SamplerTable): Record<string, Float32Array> {
  const gain = gains.map((v) => Math.min(v, MOST));
  return {
    guide_x: Float32Array.from(rows, (r) => r.a_x / r.c_in),
    guide_f: Float32Array.from(rows, (r) => r.a_f),
    guide_straight: Float32Array.from(rows, (r, i) => (gain[i]! * r.a_x) / r.a_f),
    guide_back: Float32Array.from(rows, (r, i) => gain[i]! * r.c_in),
  };
}
