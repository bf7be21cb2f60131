// The mathematics of parts against recorded vectors (test/golden, section Steering: from formulas, and compared with the peers'
// code where there is any): indices exact, values to 1e-5 and better.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as parts from '../../src/parts/index.js';
import { GoalScorer } from '../../src/policies/index.js';
import { golden, relativeError } from './golden.js';

const BAR = 1e-5;
const rows = (values: Float32Array, width: number): Float32Array[] =>
  Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
const whole = (values: Float32Array): number[] => [...values];

describe('fk_steering', () => {
  const io = golden('fk_steering');
  const c = io.config as Record<string, number> & { potentials: parts.Potential[] };
  for (const sampler of ['euler_ancestral', 'flow_sde'])
    for (const potential of c.potentials)
      for (const rule of ['carried.multinomial', 'carried.systematic', 'as_shipped.multinomial'])
        it(`${sampler}, ${potential}, ${rule}`, () => {
          const at = `${sampler}.${potential}.${rule}`;
          const [carried, resample] = rule.split('.') as [string, 'multinomial' | 'systematic'];
          const filter = new parts.Particles({
            count: c.num_particles!,
            lambda: c.lambda!,
            potential,
            least: c.reward_min!,
            ess: c.ess_threshold!,
            resample,
            start: c.resample_start!,
            end: c.resample_end!,
            every: c.resample_every!,
            carried: carried === 'carried',
          });
          const rewards = rows(io.get(`${at}.rewards`), 8);
          const uniforms = rows(io.get(`${sampler}.uniforms`), 8);
          const shares = rows(io.get(`${at}.shares`), 8);
          const ancestors = rows(io.get(`${at}.ancestors`), 8);
          const ess = io.get(`${at}.ess`);
          for (const [call, scores] of rewards.entries()) {
            if (!filter.isScored(call, 6)) {
              expect(Number.isNaN(ess[call])).toBe(true);
              continue;
            }
            const found = filter.step(scores, call === 5, uniforms[call]!);
            expect([call, relativeError(found.share, shares[call]!) < 2e-5]).toEqual([call, true]);
            expect(relativeError([found.ess], [ess[call]!])).toBeLessThan(2e-5);
            expect([call, found.ancestors ?? [0, 1, 2, 3, 4, 5, 6, 7]]).toEqual([
              call,
              whole(ancestors[call]!),
            ]);
          }
        });
});

describe('chunk_critic', () => {
  const io = golden('chunk_critic');
  const q = rows(io.get('q'), 10);
  it.each(['min', 'mean', 'lower'] as const)('%s of the ensemble, and the best', (rule) => {
    const scores = parts.reduced(q, rule);
    expect(relativeError(scores, io.get(`score.${rule}`))).toBeLessThan(BAR);
    expect(parts.argmax(scores)).toBe(io.get(`chosen.${rule}`)[0]);
  });
  it('softmax draws', () => {
    const scores = parts.reduced(q, 'min');
    expect(relativeError(parts.softmax(scores, 0.5), io.get('softmax.p'))).toBeLessThan(BAR);
    expect([...io.get('softmax.u')].map((u) => parts.softmaxDraw(scores, 0.5, u))).toEqual(
      whole(io.get('softmax.chosen')),
    );
  });
  it('the medoid of the executed rows', () => {
    const [first, last] = io.config.executed as [number, number];
    const executed = rows(io.get('chunks'), 12).map((chunk) => chunk.slice(3 * first, 3 * last));
    const scores = parts.centrality(executed);
    expect(parts.argmax(scores)).toBe(io.get('medoid.chosen')[0]);
    expect(relativeError(scores, io.get('medoid'))).toBeLessThan(BAR);
  });
  it.each(['nan', 'inf', 'tie', 'none'])('scores that are hard: %s', (name) => {
    expect(parts.argmax(io.get(`hard.${name}`))).toBe(io.get(`hard.${name}.chosen`)[0]);
  });
});

describe('failure_monitor', () => {
  const io = golden('failure_monitor');
  const curves = (name: string) => rows(io.get(name), 14);
  for (const model of ['mlp_sum', 'mlp_mean', 'lstm']) {
    for (const modulation of parts.MODULATIONS)
      it(`${model}: the band by ${modulation}, as shipped and by rank`, () => {
        for (const [rank, suffix] of [
          [false, ''],
          [true, '_ranked'],
        ] as const) {
          const band = parts.makeBand(
            curves(`train.${model}`),
            curves(`calibrate.${model}`),
            0.2,
            modulation,
            rank,
          );
          expect(relativeError(band.upper, io.get(`${model}.${modulation}.upper${suffix}`))).toBeLessThan(
            BAR,
          );
          const alarms = curves(`test.${model}`).map((scores) =>
            parts.firstAlarm(scores, parts.boundOf(band)),
          );
          expect(alarms).toEqual(whole(io.get(`${model}.${modulation}.alarm${suffix}`)));
        }
      });
    it(`${model}: a flat threshold`, () => {
      const flat = parts.flatThreshold(curves(`calibrate.${model}`), 0.2);
      expect(relativeError([flat], io.get(`${model}.flat`))).toBeLessThan(BAR);
      const alarms = curves(`test.${model}`).map((scores) => parts.firstAlarm(scores, () => flat));
      expect(alarms).toEqual(whole(io.get(`${model}.flat.alarm`)));
    });
  }
  it('two windowed scores that must agree', () => {
    const windowed = (name: string): number[][] =>
      curves(name).map((scores) => [...parts.accumulated('window', scores, 3)]);
    const models = ['mlp_mean', 'lstm'];
    const bounds = models.map((m) => parts.flatThreshold(windowed(`calibrate.${m}`), 0.2));
    models.forEach((m, i) => {
      expect(relativeError([bounds[i]!], io.get(`both.${m}.threshold`))).toBeLessThan(BAR);
    });
    const [a, b] = models.map((m) => windowed(`test.${m}`));
    const alarms = a!.map((scores, run) =>
      scores.findIndex((v, t) => v >= bounds[0]! && b![run]![t]! >= bounds[1]!),
    );
    expect(alarms).toEqual(whole(io.get('both.alarm')));
  });
  it('too few runs for a promise are refused', () => {
    expect(() => parts.flatThreshold(curves('calibrate.lstm'), 0.05)).toThrow(/at least 19/);
  });
});

describe('temporal_consistency', () => {
  const io = golden('temporal_consistency');
  const sets = rows(io.get('candidates'), 8 * 24).map((set) => rows(set, 24));
  const pairs = sets.slice(1).map((now, i) => {
    const cut = sets[i]!.map((before, j) => parts.overlapping(before, now[j]!, 3, 8, 3));
    return [cut.map(([before]) => before), cut.map(([, after]) => after)] as const;
  });
  const late = (name: string): Float32Array => io.get(name).slice(1);
  it('MMD with a fixed and the median bandwidth', () => {
    expect(
      relativeError(
        pairs.map(([a, b]) => parts.mmd(a, b, 1)),
        late('mmd_fixed'),
      ),
    ).toBeLessThan(BAR);
    const bands = pairs.map(([a, b]) => parts.medianBandwidth(a, b));
    expect(relativeError(bands, late('bandwidth'))).toBeLessThan(BAR);
    expect(
      relativeError(
        pairs.map(([a, b], i) => parts.mmd(a, b, bands[i]!)),
        late('mmd_median'),
      ),
    ).toBeLessThan(BAR);
  });
  it('single chunks and the spread of candidates', () => {
    const first = pairs.map(([a, b]) => parts.rowDistance(a[0]!, b[0]!, 3));
    expect(relativeError(first, late('first_only'))).toBeLessThan(BAR);
    expect(relativeError(sets.map(parts.totalVariance), io.get('total_variance'))).toBeLessThan(BAR);
  });
});

describe('guardian', () => {
  const io = golden('guardian');
  const data = rows(io.get('data'), 5);
  const queries = rows(io.get('queries'), 5);
  const { sigma, outliers, k, grid, floor } = io.config as Record<string, number>;
  it('kernel density with its threshold', () => {
    const logs = queries.map((x) => parts.logDensity(data, x, sigma!));
    expect(relativeError(logs, io.get('kde.log'))).toBeLessThan(BAR);
    const threshold = parts.densityThreshold(data, sigma!, outliers!);
    const constant = 1 / (sigma! * Math.sqrt(2 * Math.PI));
    expect(relativeError([constant * Math.exp(threshold)], io.get('kde.threshold'))).toBeLessThan(BAR);
    expect(logs.map((v) => Number(v >= threshold))).toEqual(whole(io.get('kde.inside')));
  });
  it('nearest neighbours and Mahalanobis', () => {
    expect(
      relativeError(
        queries.map((x) => parts.nearestDistance(data, x, k!)),
        io.get('knn'),
      ),
    ).toBeLessThan(BAR);
    expect(
      relativeError([parts.nearestThreshold(data, k!, outliers!)], io.get('knn.threshold')),
    ).toBeLessThan(BAR);
    const by = new parts.Mahalanobis(data);
    expect(
      relativeError(
        queries.map((x) => by.of(x)),
        io.get('mahalanobis'),
      ),
    ).toBeLessThan(BAR);
  });
  it('shares that stay inside, and by value', () => {
    const threshold = parts.densityThreshold(data, sigma!, outliers!);
    const bases = rows(io.get('mixture.baseline'), 5);
    const shares = queries.map((x, i) =>
      parts.insideShare(x, bases[i]!, grid!, (m) => parts.logDensity(data, m, sigma!) >= threshold),
    );
    expect(relativeError(shares, io.get('mixture.share'))).toBeLessThan(BAR);
    const mixtures = queries.flatMap((x, i) => [...parts.mixed(x, bases[i]!, shares[i]!)]);
    expect(relativeError(mixtures, io.get('mixture.action'))).toBeLessThan(BAR);
    const low = io.get('value.new_lower');
    const base = io.get('value.base_lower');
    expect(
      relativeError(
        [...low].map((v, i) => parts.valueShare(v, base[i]!, floor!)),
        io.get('value.share'),
      ),
    ).toBeLessThan(BAR);
  });
});

describe('retrieval', () => {
  const io = golden('retrieval');
  const keys = rows(io.get('keys'), 6);
  it('nearest experiences and a blended chunk', () => {
    const chunks = rows(io.get('chunks'), 8);
    for (const [i, query] of rows(io.get('query'), 6).entries()) {
      const found = parts.nearest(keys, query, 5, 1);
      expect(found.map(({ index }) => index)).toEqual(whole(rows(io.get('nearest'), 5)[i]!));
      expect(
        relativeError(
          found.map((n) => n.distance),
          rows(io.get('distance'), 5)[i]!,
        ),
      ).toBeLessThan(BAR);
      expect(
        relativeError(
          found.map((n) => n.weight),
          rows(io.get('weights'), 5)[i]!,
        ),
      ).toBeLessThan(BAR);
      expect(relativeError(parts.blend(chunks, found), rows(io.get('action'), 8)[i]!)).toBeLessThan(BAR);
    }
  });
  it('likeness to demonstrations', () => {
    const weights = parts.likeness(keys, rows(io.get('demos'), 6));
    expect(relativeError(weights, io.get('behaviour.weight'))).toBeLessThan(BAR);
    expect([...weights].map((w) => Number(w >= 0.7))).toEqual(whole(io.get('behaviour.kept')));
  });
  it('utilities', () => {
    const [query] = rows(io.get('query'), 6);
    const similarity = keys.map((key) => parts.cosine(key, query!));
    expect(relativeError(similarity, io.get('utility.similarity'))).toBeLessThan(BAR);
    const found = parts.byUtility(similarity, io.get('value'), {
      least_similarity: 0.1,
      candidates: 8,
      top: 3,
      weight_similarity: 0.5,
      weight_value: 0.5,
      similarity: { mean: 0.2, std: 0.25 },
    });
    expect(found.candidates).toEqual(whole(io.get('utility.candidates')));
    expect(relativeError(found.scores, io.get('utility.score'))).toBeLessThan(BAR);
    expect([...found.chosen].sort()).toEqual(whole(io.get('utility.chosen')).sort());
    const after = parts.learnt(io.get('value'), found.chosen, 1, 0.3);
    expect(relativeError(after, io.get('utility.value_after'))).toBeLessThan(BAR);
  });
  it('a task from imagined pictures', () => {
    const { nearest, z } = parts.promptOf(
      rows(io.get('prompt.frames'), 6),
      keys,
      rows(io.get('prompt.backward'), 8),
    );
    expect(nearest).toEqual(whole(io.get('prompt.nearest')));
    expect(relativeError(z, io.get('prompt.z'))).toBeLessThan(BAR);
  });
});

describe('uvd_milestones', () => {
  const io = golden('uvd_milestones');
  const frames = rows(io.get('demonstration'), 10);
  it('smoothed curves and milestones of a demonstration', () => {
    expect(
      relativeError(parts.distanceCurve(frames, frames.length - 1, 0.08), io.get('curve0')),
    ).toBeLessThan(BAR);
    const found = parts.milestones(frames, { min_interval: 18, gamma: 0.08 });
    expect(found).toEqual(whole(io.get('milestones')));
    expect(relativeError(parts.distanceCurve(frames, found[0]!, 0.08), io.get('curve1'))).toBeLessThan(BAR);
  });
  it('followed step by step', () => {
    const goals = whole(io.get('milestones')).map((i) => frames[i]!);
    let now: parts.MilestoneState = parts.AT_FIRST;
    const steps = rows(io.get('run.embeddings'), 10).map((e) => {
      const step = parts.nextMilestone(now, e, goals, { threshold: 0.2 });
      now = step;
      return step;
    });
    expect(steps.map(({ index }) => index)).toEqual(whole(io.get('run.index')));
    const ratios = steps.map(({ ratio }) => ratio);
    expect(relativeError(ratios, io.get('run.ratio'))).toBeLessThan(BAR);
    expect(now.done).toBe(true);
  });
});

describe('ttgs_hiql', () => {
  const io = golden('ttgs_hiql');
  const options = io.config.graph as unknown as parts.GraphOptions & {
    replan_factor: number;
    subgoal_types: string[];
  };
  const n = 28;
  const distances = io.get('graph.distances');
  it('edges and the shortest path', () => {
    const weights = parts.edgeWeights(distances, n, options);
    const want = io.get('graph.weights.inf_ok');
    const finite = (all: ArrayLike<number>): number[] => Array.from(all).filter(Number.isFinite);
    expect(relativeError(finite(weights), finite(want))).toBeLessThan(BAR);
    const path = whole(io.get('graph.path'));
    expect(parts.shortestPath(weights, n, path[0]!, path.at(-1)!)).toEqual(path);
  });
  it('followed step by step', () => {
    const to_nodes = rows(io.get('follow.path_distances'), 10);
    const goal = io.get('follow.goal_distance');
    const end = io.get('follow.end_to_goal_distance');
    let closest = 0;
    const steps = to_nodes.map((d, i) => {
      const step = parts.followPath(closest, d, goal[i]!, end[i]!, options);
      closest = step.closest;
      return step;
    });
    expect(steps.map(({ why }) => why)).toEqual(options.subgoal_types);
    expect(steps.map(({ closest }) => closest)).toEqual(whole(io.get('follow.closest_index')));
    expect(steps.map(({ subgoal }) => subgoal)).toEqual(whole(io.get('follow.subgoal_index')));
    expect(steps.map(({ lost }) => Number(lost))).toEqual(whole(io.get('follow.lost')));
  });
});

describe('prompts', () => {
  const phiOf = async (name: string, config: object, states: Float32Array): Promise<Float32Array> => {
    const dir = mkdtempSync(join(tmpdir(), 'tendon-prompt-'));
    try {
      cpSync(golden(name).dir, dir, { recursive: true });
      writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
      const scorer = await GoalScorer.open(dir);
      return await scorer.score('phi', { observations: states, goals: states });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };

  it('hilp_gcrl: midpoints over what was seen', async () => {
    const io = golden('hilp_gcrl');
    const phi = async (states: Float32Array) => rows(await phiOf('hilp_gcrl', { type: 'actor' }, states), 8);
    const stored = rows(io.get('plan.phis'), 8);
    expect(
      relativeError((await phi(io.get('plan.examples'))).flatMap(whole), io.get('plan.phis')),
    ).toBeLessThan(BAR);
    const here = await phi(io.get('episode.observations'));
    const [goal] = await phi(io.get('episode.goal'));
    const found = here.flatMap((s) => [
      ...parts.midpoint(stored, s, goal!, { recursions: 3, neighbours: 5 }),
    ]);
    expect(relativeError(found, io.get('plan.phi_waypoints'))).toBeLessThan(BAR);
  });

  it('hilp_zsrl: a reward over recorded states', async () => {
    const io = golden('hilp_zsrl');
    const phi = await phiOf('hilp_zsrl', { type: 'actor' }, io.get('prompt.observations'));
    expect(
      relativeError(parts.rewardPrompt(rows(phi, 6), io.get('prompt.rewards')), io.get('prompt.z')),
    ).toBeLessThan(BAR);
  });
});
