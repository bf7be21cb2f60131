// LeRobot's TD-MPC against its own code (test/golden/tdmpc_lerobot_env, tdmpc_lerobot_img): every network, then two
// successive plans, cold and warm, with every draw taped.

import { describe, expect, it } from 'vitest';
import { addon, GraphBuilder, type PlanTape } from '../../src/native/index.js';
import { TdmpcConfig } from '../../src/policies/tdmpc/config.js';
import { tdmpcTable } from '../../src/policies/tdmpc/index.js';
import { type EncoderInput, tdmpcNetworks } from '../../src/policies/tdmpc/networks.js';
import { Tensors } from '../../src/policies/tensors.js';
import { worldGraph } from '../../src/policies/world-model/graph.js';
import { BARS, golden, relativeError, runGraph } from './golden.js';

const CASES: Record<string, { inputs: EncoderInput[]; from: Record<string, string>; action_dim: number }> = {
  tdmpc_lerobot_env: {
    inputs: [
      { name: 'environment', shape: [6] },
      { name: 'state', shape: [4] },
    ],
    from: { environment: 'in.observation.environment_state', state: 'in.observation.state' },
    action_dim: 3,
  },
  tdmpc_lerobot_img: {
    inputs: [
      { name: 'image', shape: [3, 84, 84] },
      { name: 'state', shape: [4] },
    ],
    from: { image: 'in.observation.image', state: 'in.observation.state' },
    action_dim: 4,
  },
};

/** (channels, height, width) to (height, width, channels). */
function channelsLast(image: Float32Array, [c, h, w]: readonly number[]): Float32Array {
  const out = new Float32Array(image.length);
  for (let k = 0; k < c!; k++) for (let i = 0; i < h! * w!; i++) out[i * c! + k] = image[k * h! * w! + i]!;
  return out;
}

describe.each(Object.keys(CASES))('%s', (name) => {
  const { inputs, from, action_dim } = CASES[name]!;
  const io = golden(name);
  const config = TdmpcConfig.parse(io.config);
  const networks = tdmpcNetworks(config, Tensors.open(io.dir, 'tdmpc'), inputs, action_dim);

  it('encoder, dynamics, reward, critics and policy', async () => {
    const given: Record<string, Float32Array> = {};
    for (const input of inputs) {
      const values = io.get(from[input.name]!);
      given[input.name] = input.name === 'image' ? channelsLast(values, input.shape) : values;
    }
    const encoder = new GraphBuilder();
    encoder.output('latent', networks.encode(encoder));
    const { latent } = await runGraph(encoder, 1, given);
    expect(relativeError(latent!, io.get('z'))).toBeLessThan(1e-5);

    const g = new GraphBuilder();
    const z = g.input('z', [1, config.latent_dim], 'observation');
    const a = g.input('a', [1, action_dim], 'observation');
    const after = networks.next(g, z, a);
    g.output('next', after);
    g.output('reward', networks.reward(g, z, a, after));
    g.output('pi', networks.prior!(g, z, undefined));
    g.output(
      'q',
      g.concat(
        Array.from({ length: 5 }, (_, i) => networks.value!(g, i, z, a)),
        1,
      ),
    );
    const out = await runGraph(g, 1, { z: io.get('z'), a: io.get('a') });
    expect(relativeError(out.next!, io.get('z_next'))).toBeLessThan(1e-5);
    expect(relativeError(out.reward!, io.get('reward'))).toBeLessThan(1e-4);
    expect(relativeError(out.pi!, io.get('pi'))).toBeLessThan(1e-4);
    expect(relativeError(out.q!, io.get('Qs'))).toBeLessThan(1e-4);
  });

  it.each(BARS)('two plans in a row in %s, to %d', async (precision, bar) => {
    const table = tdmpcTable(config, action_dim);
    const graph = worldGraph(networks, {
      horizon: config.horizon,
      discount: config.discount,
      uncertainty: config.uncertainty_regularizer_coeff,
    });
    const model = await addon().compileModel(graph.native, { precision });
    const planner = await model.openPlanner(table);
    const { horizon: h, n_pi_samples: p, n_gaussian_samples: s, cem_iterations } = config;
    const a = action_dim;
    for (const plan of ['plan0', 'plan1']) {
      const draw = (n: number, kind: string): Float32Array =>
        io.get(`${plan}.rng${String(n).padStart(3, '0')}.${kind}`);
      const join = (parts: Float32Array[]): Float32Array => Float32Array.from(parts.flatMap((x) => [...x]));
      const prior = new Float32Array(p * h * a);
      for (let t = 0; t < h; t++)
        for (let i = 0; i < p; i++) prior.set(draw(t, 'randn_like').slice(i * a, i * a + a), (i * h + t) * a);
      const rounds = Array.from({ length: cem_iterations }, (_, k) => h + 3 * k);
      // LeRobot appends the prior's candidates, we put them first.
      const tail = rounds.map((n) => {
        const noise = draw(n + 1, 'randn_like');
        return Float32Array.from([...noise.slice(s * a), ...noise.slice(0, s * a)]);
      });
      // The elite that torch's multinomial drew is the one whose exponential comes first.
      const drawn = draw(h + 3 * cem_iterations, 'multinomial')[0]!;
      const tape: PlanTape = {
        prior,
        samples: join(rounds.map((n) => draw(n, 'randn'))),
        tail: join(tail),
        critics: join(rounds.map((n) => draw(n + 2, 'randint'))),
        pick: Float32Array.from({ length: config.n_elites }, (_, i) => (i === drawn ? 1e-20 : 1)),
      };
      const found = await planner.plan({ inputs: { latent: io.get('z') }, tape });
      expect([plan, found.status]).toEqual([plan, 'ok']);
      expect(relativeError(found.mean, io.get(`${plan}.mean`))).toBeLessThan(bar);
      expect(relativeError(found.actions, io.get(`${plan}.actions`))).toBeLessThan(bar);
    }
  });
});

it('asks both critics where there are two, and draws among more', () => {
  const config = TdmpcConfig.parse(golden('tdmpc_lerobot_env').config);
  expect(tdmpcTable(config, 3)).toMatchObject({ drawn: 2, with_replacement: true });
  const two = tdmpcTable({ ...config, q_ensemble_size: 2 }, 3);
  expect(two).toMatchObject({ critics: 2, drawn: 2, with_replacement: false });
});
