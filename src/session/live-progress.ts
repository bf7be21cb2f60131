// What goal parts say of an inference (src/parts/kinds/{progress,route,subgoal}.ts), as the page shows it.

import type { ProgressSaid, RouteSaid, SubgoalSaid } from '../parts/index.js';
import type { LiveProgress, SteeringReport } from '../types/index.js';

type Said = Partial<ProgressSaid & RouteSaid & SubgoalSaid>;

/** Undefined where no part says anything of a goal. `point`: where a recorded state has the robot, m. */
export function liveProgress(
  report: SteeringReport | undefined,
  point: ((state: readonly number[]) => readonly [number, number, number]) | undefined,
): LiveProgress | undefined {
  const said = Object.values(report?.said ?? {}).filter(
    (value): value is Said => typeof value === 'object' && value !== null,
  );
  const progress = said.find(({ steps_left }) => steps_left !== undefined);
  const route = said.find(({ of }) => of !== undefined);
  const subgoal = said.find(({ age }) => age !== undefined);
  if (progress === undefined && route === undefined) return undefined;
  const ahead = route?.ahead ?? progress?.ahead ?? (subgoal?.subgoal && [subgoal.subgoal]) ?? [];
  return {
    state: progress?.state ?? (route?.lost === true ? 'off the route' : 'on the way'),
    steps_left: progress?.steps_left ?? route?.steps,
    seconds_left: progress?.seconds_left ?? route?.seconds,
    ...(route === undefined ? {} : { place: Math.min(route.index! + 1, route.of!), places: route.of }),
    ahead: point === undefined ? [] : ahead.map(point),
  };
}
