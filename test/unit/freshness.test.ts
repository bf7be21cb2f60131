// How soon a robot that is no longer seen is held: at the first tick after the freshness limit, never before, whatever the
// rate of control and wherever between two ticks the last observation falls. In a time moved by hand.

import { expect, test } from 'vitest';
import { Controller, ManualClock } from '../../src/control/index.js';
import type { ActionChunk, Command, Observation, Policy, Robot } from '../../src/types/index.js';
import { connectedRobot } from './connected-robot.js';

const LIMITS = { lower: [-1e3], upper: [1e3], velocity: [1], acceleration: [4] };
const PHASES = Array.from({ length: 8 }, (_, i) => i / 8);

/** Away, at a steady pace. */
const policy: Policy = {
  spec: {
    family: 'steady',
    n_obs_steps: 1,
    horizon: 40,
    n_action_steps: 2,
    action_dim: 1,
    observation_dims: { joint_position: 1 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 20,
  },
  reset: () => undefined,
  close: () => undefined,
  async infer(window): Promise<ActionChunk> {
    const { stamp_ns, values } = (window as readonly Observation[]).at(-1)!;
    return {
      stamp_ns,
      period_ns: 50e6,
      horizon: 40,
      action_dim: 1,
      actions: Float32Array.from({ length: 40 }, (_, i) => values.joint_position![0]! + 0.05 * (i + 1)),
      n_candidates: 1,
      chosen: 0,
      timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
    };
  },
};

/** Seen every 4 ms until `last_ns`, then never again. */
function robotSeenUntil(clock: ManualClock, last_ns: number) {
  const sent: { at_ns: number; value: number; state: string }[] = [];
  const state = { position: 0, controller: undefined as Controller | undefined };
  let newest: Observation | undefined;
  const robot: Robot = {
    ...connectedRobot(1),
    latest() {
      const now_ns = clock.now_ns();
      const stamp_ns = now_ns >= last_ns ? last_ns : last_ns - 4e6 * Math.ceil((last_ns - now_ns) / 4e6);
      if (newest?.stamp_ns !== stamp_ns)
        newest = { stamp_ns, values: { joint_position: Float32Array.of(state.position) } };
      return newest;
    },
    send({ values }: Command) {
      state.position = values[0]!;
      sent.push({ at_ns: clock.now_ns(), value: values[0]!, state: state.controller!.supervisor.state });
      return true;
    },
  };
  return { robot, sent, state };
}

test.each([10, 30, 50, 100, 250, 1000].flatMap((rate_hz) => [60, 107.3].map((ms) => [rate_hz, ms] as const)))(
  'at %i Hz, not seen for %f ms: held in the first period after, from every phase',
  async (rate_hz, freshness_ms) => {
    const period_ns = Math.round(1e9 / rate_hz);
    for (const phase of PHASES) {
      const clock = new ManualClock(1e9);
      // Some periods after the start, where in a period `phase` says.
      const last_ns = Math.round(1e9 + (Math.ceil(1e9 / period_ns) + phase) * period_ns);
      const stale_ns = last_ns + freshness_ms * 1e6;
      const { robot, sent, state } = robotSeenUntil(clock, last_ns);
      const controller = new Controller({
        robot,
        policy,
        clock,
        limits: LIMITS,
        rate_hz,
        position_key: 'joint_position',
        freshness_ms,
        inference_ms: 1000,
        lifetime_ms: 100,
      });
      state.controller = controller;
      const { supervisor, stats } = controller;
      const changes: { at_ns: number; to: string; tick: number }[] = [];
      supervisor.onChange(({ to }) => {
        changes.push({ at_ns: clock.now_ns(), to, tick: stats.ticks });
        if (to === 'READY') controller.go();
      });
      controller.start();
      await new Promise((go) => setImmediate(go));
      await clock.advance(last_ns + 1e9 - clock.now_ns());

      const at = `phase ${phase}`;
      const held = changes.at(-1)!;
      expect(
        changes.map(({ to }) => to),
        at,
      ).toEqual(['READY', 'RUNNING', 'HOLD']);
      expect(held.at_ns, at).toBeGreaterThan(stale_ns);
      expect(held.at_ns - stale_ns, at).toBeLessThanOrEqual(period_ns);
      // It had moved, and moved until then; from the limit on it was held at every tick and came to rest.
      const [before, after] = [
        sent.filter(({ at_ns }) => at_ns <= stale_ns),
        sent.filter(({ at_ns }) => at_ns > stale_ns),
      ];
      expect(before.length, at).toBeGreaterThan(rate_hz / 2);
      expect(before.at(-1)!.value - before.at(-2)!.value, at).toBeGreaterThan(0);
      expect(before.at(-1)!.state, at).toBe('RUNNING');
      expect(after.filter((one) => one.state !== 'HOLD')).toEqual([]);
      let [last, speed] = [before.at(-1)!.value, before.at(-1)!.value - before.at(-2)!.value];
      for (const { value } of after) {
        expect(Math.abs(value - last), at).toBeLessThan(speed + 1e-9);
        [speed, last] = [Math.abs(value - last), value];
      }
      expect(supervisor.counts.observation_stale, at).toBe(1);
      // At rest: nothing more is sent, though ticks go on.
      expect(stats.ticks - held.tick, at).toBeGreaterThan(after.length);
      const stopping = controller.stop();
      await clock.advance(2 * period_ns);
      await stopping;
    }
  },
);
