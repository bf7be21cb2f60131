// Scorers that are whole policies, models of the world, or a program's own function.

import { TendonError } from '../../types/index.js';
import { distance } from '../numbers.js';
import { executed } from './inputs.js';
import type { Form } from './scorer.js';

export const policyForms: Readonly<Record<string, Form>> = {
  agreement: {
    summary: 'minus the distance to what another policy of any family would do',
    needs: ['model'],
    async open(name, { model, rows }, host) {
      const other = await host.policy(model!);
      const { action_dim, horizon } = host.spec;
      if (other.spec.action_dim !== action_dim || other.spec.horizon < horizon)
        throw new TendonError(
          'config_invalid',
          `parts.${name}.model: expected a policy with chunks of at least ${horizon} × ${action_dim}, got ${other.spec.horizon} × ${other.spec.action_dim}`,
        );
      return {
        ranks: true,
        async score(chunks, moment, carried) {
          const { chunk, carried: next } = await other.ask(moment, carried);
          const values = chunk.actions.subarray(0, horizon * action_dim);
          const [own] = executed({ ...chunks, values, n: 1 }, rows);
          return { scores: executed(chunks, rows).map((row) => -distance(row, own!)), carried: next };
        },
      };
    },
  },
  progress: {
    summary: 'what a reward or progress model says of what is seen, such as a reward classifier',
    needs: ['model'],
    async open(name, { model, output }, host) {
      const judge = await host.policy(model!);
      if (output >= judge.spec.action_dim)
        throw new TendonError(
          'config_invalid',
          `parts.${name}.output: this model has ${judge.spec.action_dim} scores (${judge.spec.scores?.join(', ') ?? 'unnamed'}), there is no number ${output}`,
        );
      return {
        ranks: false,
        async score(_, moment, carried) {
          const { chunk, carried: next } = await judge.ask(moment, carried);
          return { scores: [chunk.actions[output]!], carried: next };
        },
      };
    },
  },
  return: {
    summary: 'the return that a model of the world predicts along the executed rows',
    needs: ['model'],
    async open(_, { model }, host) {
      const world = await host.world(model!);
      return {
        ranks: true,
        async score(chunks, moment) {
          return { scores: await world.of(chunks, moment) };
        },
      };
    },
  },
  function: {
    summary: 'a function of the program that opened the policy, by the name of the part',
    needs: [],
    open(name, _, { functions }) {
      const score = Object.hasOwn(functions, name) ? functions[name] : undefined;
      if (score === undefined)
        throw new TendonError(
          'config_invalid',
          `parts.${name}: form function needs a function of that name in the options of the program (functions: { ${name} }); a command has none`,
        );
      return {
        ranks: true,
        async score(chunks, moment) {
          return { scores: await score(chunks, moment) };
        },
      };
    },
  },
};
