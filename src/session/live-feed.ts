// What every page is told ten times a second, whatever it shows beside it; and the answers to what every operator may
// ask of a controller.

import type { Controller } from '../control/index.js';
import type { OpenedPolicy } from '../eval/open-policy.js';
import {
  type ActionChunk,
  type IntentAnswer,
  isSteered,
  type LiveChunk,
  type LiveStatus,
  NS_PER_MS,
  type OperatorIntent,
  type Robot,
  type SamplerChoice,
} from '../types/index.js';

export const ACCEPTED: IntentAnswer = { accepted: true, reason: '' };
export const refused = (reason: string): IntentAnswer => ({ accepted: false, reason });

/** What of a status is the controller's, the robot's and the policy's. */
export type ControlStatus = Omit<
  LiveStatus,
  'paused' | 'episode' | 'successes' | 'episodes_done' | 'mode' | 'goal' | 'hand' | 'driver'
>;

export interface Watched {
  readonly controller: Controller;
  readonly policy: OpenedPolicy;
  readonly robot: Pick<Robot, 'latest' | 'onStatus'> & { readonly drops: object };
  readonly position_key: string;
}

/** Gives what is new since the last call. */
export function controlStatus({ controller, policy, robot, position_key }: Watched): () => ControlStatus {
  const { supervisor, stats } = controller;
  let connected = false;
  robot.onStatus((status) => {
    connected = status.connected;
  });
  const [readInfer, readLate] = [stats.infer_ms.reader(), stats.late_us.reader()];
  return () => ({
    kind: 'status',
    stamp_ns: pageTime(),
    state: supervisor.state,
    cause: supervisor.cause,
    connected,
    command: [...controller.command],
    position: [...(robot.latest()?.values[position_key] ?? [])],
    infer_ms: readInfer(),
    late_us: readLate(),
    ticks: stats.ticks,
    deadline_misses: stats.deadline_misses,
    interventions: supervisor.interventions,
    drops: Object.values(robot.drops).reduce((sum: number, n: number) => sum + n, 0),
    choice: policy.choice,
    ...(isSteered(policy) ? { parts: policy.parts() } : {}),
  });
}

export const pageTime = (): number => Math.round(performance.now() * NS_PER_MS);

/** Candidates drawn on a page; more would hide each other. */
const DRAWN = 16;

/** A chunk as the paths of a hand; `handOf` is where an action, (action_dim), leads it, m. */
export function liveChunk(
  chunk: ActionChunk,
  handOf: (action: Float32Array) => ArrayLike<number>,
): LiveChunk {
  const { horizon, action_dim, scores, chosen, stamp_ns } = chunk;
  const n = Math.min(chunk.n_candidates, DRAWN);
  const all = chunk.candidates ?? chunk.actions;
  const paths = new Float32Array(n * horizon * 3);
  for (let row = 0; row < n * horizon; row++)
    paths.set(handOf(all.subarray(row * action_dim, (row + 1) * action_dim)), 3 * row);
  return {
    kind: 'chunk',
    stamp_ns,
    chosen,
    n_candidates: n,
    horizon,
    paths,
    ...(scores === undefined ? {} : { scores: scores.slice(0, n) }),
    infer_ms: chunk.timing.total_ns / NS_PER_MS,
  };
}

/** A person takes over, drives on or gives back. `pointAction`: the targets that lead the hand to a point. */
export function takeOver(
  controller: Controller,
  intent: OperatorIntent & { kind: 'teleop' },
  pointAction: ((point: readonly number[]) => ArrayLike<number>) | undefined,
): IntentAnswer {
  const { engaged, values, point, repeat } = intent;
  if (values !== undefined && point !== undefined)
    return refused('joint targets or a point for the hand, not both');
  if (point !== undefined && pointAction === undefined)
    return refused('joint targets only: where this robot’s hand would be is not known');
  const { state, cause } = controller.supervisor;
  if (repeat === true && state !== 'TELEOP') return refused(`nobody drives any more: ${state}, ${cause}`);
  const targets = values ?? (point && pointAction?.(point)) ?? controller.command;
  if (!engaged) controller.takeOver(undefined);
  else if (!controller.takeOver(Array.from(targets)))
    return refused(`nobody can take over now (${controller.supervisor.state})`);
  return ACCEPTED;
}

/** Switches a part or sets a condition; in force from the next inference. */
export function steer(
  policy: OpenedPolicy,
  intent: OperatorIntent & { kind: 'part' | 'condition' },
): IntentAnswer {
  if (!isSteered(policy)) return refused('this policy has no parts');
  try {
    if (intent.kind === 'part') policy.switchPart(intent.name, intent.on);
    else policy.setCondition(intent.name, intent.value);
    return ACCEPTED;
  } catch (caught) {
    return refused((caught as Error).message);
  }
}

/** Chooses the sampler of the next inferences; one that cannot be is refused when it has been tried. */
export function choose(policy: OpenedPolicy, choice: Partial<SamplerChoice>): IntentAnswer {
  return {
    ...ACCEPTED,
    outcome: policy.choose(choice).then(
      () => '',
      (caught: Error) => caught.message,
    ),
  };
}
