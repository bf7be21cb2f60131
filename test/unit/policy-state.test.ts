// What a policy carries from one inference to the next belongs to one epoch: after a hold, a stop, a reset, a fault or a
// pause of the process there is none, and an answer that was asked for before comes to nobody.

import { expect, test } from 'vitest';
import type { ActionChunk, InferOptions, Observation, Policy, PolicyState } from '../../src/types/index.js';
import { Stage } from './sink-stage.js';

interface Carried extends PolicyState {
  readonly number: number;
}

/** Numbers its answers, carries the number on, and answers when it is told to. */
function numbering() {
  const given: (number | undefined)[] = [];
  let waiting: (() => void) | undefined;
  const control = { slow: false, answer: () => waiting?.() };
  const policy: Policy = {
    spec: {
      family: 'numbering',
      n_obs_steps: 1,
      horizon: 8,
      n_action_steps: 2,
      action_dim: 2,
      observation_dims: { joint_position: 2 },
      image_shapes: {},
      goal_dims: {},
      rate_hz: 50,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window, options: InferOptions = {}): Promise<ActionChunk> {
      const number = given.length;
      given.push((options.state as Carried | undefined)?.number);
      if (control.slow)
        await new Promise<void>((resolve) => {
          waiting = resolve;
        });
      return {
        stamp_ns: (window as readonly Observation[]).at(-1)!.stamp_ns,
        period_ns: 20e6,
        horizon: 8,
        action_dim: 2,
        actions: new Float32Array(16),
        n_candidates: 1,
        chosen: 0,
        timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
        state: { number },
      };
    },
  };
  return { policy, given, control };
}

function handOver({ controller }: Stage): void {
  controller.takeOver([0, 0]);
  controller.takeOver(undefined);
}

async function running() {
  const { policy, given, control } = numbering();
  const stage = new Stage({ quantity: 'position', sink: 'direct', policy });
  await stage.ticks(3);
  stage.controller.go();
  await stage.ticks(30);
  expect(stage.controller.state).toBe('RUNNING');
  return { stage, given, control };
}

test('within an epoch every inference is given what the last one carried on', async () => {
  const { stage, given } = await running();
  expect(given.length).toBeGreaterThan(3);
  expect(given).toEqual([undefined, ...given.keys()].slice(0, given.length));
  await stage.close();
});

test.each([
  ['a hold', (stage: Stage) => stage.controller.hold()],
  ['a stop', (stage: Stage) => stage.controller.emergencyStop()],
  ['a reset', (stage: Stage) => stage.controller.reset(1)],
  ['a suspension', (stage: Stage) => stage.controller.suspend()],
  ['a bad message', (stage: Stage) => Object.assign(stage, { odd: 'nan', once: true })],
  ['a pause of the process', (stage: Stage) => stage.paused(0.5e9, [0, 0])],
  ['a person who gives back', handOver],
] as const)(
  'after %s the policy begins anew, and an answer from before is nobody’s',
  async (what, happens) => {
    const { stage, given, control } = await running();
    control.slow = true;
    await stage.ticks(4);
    const asked = given.length;
    happens(stage);
    await stage.ticks(2);
    control.slow = false;
    control.answer();
    const { controller } = stage;
    // Only what needs a reset gets one: it would begin anew by itself.
    if (controller.state === 'STOPPED' || what === 'a suspension') controller.reset(1);
    await stage.ticks(4);
    controller.go();
    controller.resume();
    await stage.ticks(20);
    const after = given.slice(asked);
    expect(after.length).toBeGreaterThan(1);
    expect(after[0]).toBeUndefined();
    expect(after.some((number) => number === asked - 1)).toBe(false);
    expect(stage.broken).toEqual([]);
    await stage.close();
  },
);
