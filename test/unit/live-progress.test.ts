// What goal parts say, as the page shows it.

import { describe, expect, it } from 'vitest';
import { liveProgress } from '../../src/session/live-progress.js';
import type { SteeringReport } from '../../src/types/index.js';
import { sentence } from '../../src/web/page/way.js';

const report = (said: Record<string, unknown>): SteeringReport => ({
  scores: {},
  order: [0],
  ruled: false,
  monitors: [],
  guardians: [],
  skipped: {},
  said,
});
const point = (state: readonly number[]) => [state[0]!, state[1]!, 0.1] as const;

describe('progress on the page', () => {
  it('is the place on the route, what is left, and the way ahead', () => {
    const live = liveProgress(
      report({
        speed: 0.4,
        route: {
          index: 3,
          of: 7,
          subgoal: [1, 2],
          steps: 4,
          lost: false,
          done: false,
          replanned: 0,
          ahead: [
            [1, 2],
            [3, 4],
          ],
        },
        progress: { state: 'on the way', steps_left: 10.5, seconds_left: 2.1 },
      }),
      point,
    )!;
    expect(live).toMatchObject({ place: 4, places: 7, seconds_left: 2.1, steps_left: 10.5 });
    expect(live.ahead).toEqual([
      [1, 2, 0.1],
      [3, 4, 0.1],
    ]);
    expect(sentence(live)).toBe('4 of 7 · 2.10 s to go · on the way');
  });

  it('has no points where a state shows no place, and says so when it is lost or reached', () => {
    const route = { index: 7, of: 7, steps: 80, lost: true, ahead: [[1, 2]] };
    const lost = liveProgress(report({ route }), undefined)!;
    expect(lost).toMatchObject({ state: 'off the route', place: 7, ahead: [] });
    expect(sentence(lost)).toBe('7 of 7 · 80.0 steps to go · off the route');
    const reached = liveProgress(report({ p: { state: 'reached', steps_left: 0.2 } }), point)!;
    expect(sentence(reached)).toBe('reached');
  });

  it('is nothing without parts that speak of a goal', () => {
    expect(liveProgress(undefined, point)).toBeUndefined();
    expect(liveProgress(report({ speed: 0.4, skill: null }), point)).toBeUndefined();
  });
});
