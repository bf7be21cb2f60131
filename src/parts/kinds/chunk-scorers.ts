// Scorers that need no network: they hold candidates against each other, against the chunk in force, against the inference
// before, or against a body in the room.

import { TendonError } from '../../types/index.js';
import { coherence } from '../coherence.js';
import { medianBandwidth, mmd, rowDistance, totalVariance } from '../consistency.js';
import { type Row, rowsOf } from '../numbers.js';
import type { Chunks, Moment } from '../ports.js';
import { centrality } from '../select.js';
import { executed } from './inputs.js';
import type { Form } from './scorer.js';

/** What the inference before and this one say of the same rows; undefined where they speak of no common moment. */
function overlap(before: Chunks, now: Chunks): { readonly a: Row[]; readonly b: Row[] } | undefined {
  const period = now.period_ns || before.period_ns;
  const passed =
    period > 0 ? Math.round((now.stamp_ns - before.stamp_ns) / period) : before.last - before.first;
  const rows = Math.min(before.horizon - passed, now.horizon);
  if (rows < 1 || passed < 0 || before.action_dim !== now.action_dim) return undefined;
  const part = ({ values, horizon, action_dim }: Chunks, from: number): Row[] =>
    rowsOf(values, horizon * action_dim).map((chunk) =>
      chunk.subarray(from * action_dim, (from + rows) * action_dim),
    );
  return { a: part(before, passed), b: part(now, 0) };
}

export const chunkForms: Readonly<Record<string, Form>> = {
  coherence: {
    summary: 'bidirectional decoding: how well a candidate goes on from the chunk in force',
    needs: [],
    open: (_, { decay }) => ({
      ranks: true,
      score: (chunks, { playing }) => ({ scores: coherence(chunks, playing, decay) }),
    }),
  },
  medoid: {
    summary: 'how near a candidate is to the others; the best is their medoid',
    needs: [],
    open: (_, { rows }) => ({
      ranks: true,
      least: 2,
      score: (chunks) => ({ scores: centrality(executed(chunks, rows)) }),
    }),
  },
  variance: {
    summary: 'minus how far the candidates are from one another: trace of their covariance',
    needs: [],
    open: (_, { rows }) => ({
      ranks: false,
      least: 2,
      score: (chunks) => ({ scores: [-totalVariance(executed(chunks, rows))] }),
    }),
  },
  stac: {
    summary:
      'minus how much two inferences contradict each other (MMD of their candidates; of one each, distance)',
    needs: [],
    open: (_, { beta }) => ({
      ranks: false,
      score(chunks: Chunks, { before }: Moment) {
        const both = before && overlap(before, chunks);
        // The first inference of an episode contradicts nobody.
        if (both === undefined) return { scores: [0] };
        const { a, b } = both;
        if (a.length === 1 && b.length === 1)
          return { scores: [-rowDistance(a[0]!, b[0]!, chunks.action_dim)] };
        const width = beta ?? medianBandwidth(a, b);
        return { scores: [width > 0 ? -mmd(a, b, width) : 0] };
      },
    }),
  },
  clearance: {
    summary: 'how far the tip keeps from a ball on the way, metres: the least over the executed rows',
    needs: ['body'],
    open(name, { body, rows }, { tip, spec }) {
      if (tip === undefined)
        throw new TendonError(
          'unsupported',
          `parts.${name}: clearance needs to know where an action leads the tip; run it with a robot file that has a chain`,
        );
      const { center, radius } = body!;
      return {
        ranks: true,
        score: (chunks) => ({
          scores: executed(chunks, rows).map((chunk) =>
            Math.min(
              ...rowsOf(chunk, spec.action_dim).map((action) => {
                const at = tip(action);
                return Math.hypot(at[0]! - center[0], at[1]! - center[1], at[2]! - center[2]) - radius;
              }),
            ),
          ),
        }),
      };
    },
  },
};
