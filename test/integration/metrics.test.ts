// What Prometheus and a log reader get: from a controller behind real sockets, from `tendon run` and from the page's
// server, read by a strict parser (prometheus.ts).

import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { LoopMetrics, serveMetrics } from '../../src/metrics/index.js';
import { addon } from '../../src/native/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { zeroCounters } from '../../src/rosbridge/client/connecting.js';
import {
  type ClientOptions,
  header,
  jointState,
  observationMessage,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { RealTimeExecutor } from '../../src/sinks/index.js';
import { type ActionChunk, CONTROL_STATES, type Observation, type Policy } from '../../src/types/index.js';
import { parsePrometheus } from './prometheus.js';
import { startTendon, type TendonProcess, until } from './tendon-process.js';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
/** One look at `url`, and reading it: a sample by name and labels. */
async function scrape(url: string) {
  const response = await fetch(url);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const families = parsePrometheus(await response.text());
  const value = (name: string, labels: Record<string, string> = {}): number => {
    const family = families.get(name.replace(/_(bucket|sum|count)$/, '')) ?? families.get(name);
    const found = family?.samples.find(
      (one) => one.name === name && Object.entries(labels).every(([key, text]) => one.labels[key] === text),
    );
    if (found === undefined) throw new Error(`no ${name} ${JSON.stringify(labels)}`);
    return found.value;
  };
  return { families, value };
}

/** Goes on in small steps from where the robot is; says that its stages took 1, 2, 3 and 6 ms. */
const creeping: Policy = {
  spec: {
    family: 'creeping',
    n_obs_steps: 1,
    horizon: 16,
    n_action_steps: 8,
    action_dim: 2,
    observation_dims: { joint_position: 2 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 5,
  },
  reset: () => undefined,
  close: () => undefined,
  async infer(window): Promise<ActionChunk> {
    const newest = (window as readonly Observation[]).at(-1)!;
    return {
      stamp_ns: newest.stamp_ns,
      // Three seconds: a busy machine alone never uses a chunk up.
      period_ns: 200e6,
      horizon: 16,
      action_dim: 2,
      actions: Float32Array.from({ length: 32 }, (_, i) => newest.values.joint_position![i % 2]! + 0.001),
      n_candidates: 1,
      chosen: 0,
      timing: { queue_ns: 1e6, observe_ns: 2e6, denoise_ns: 3e6, total_ns: 6e6 },
    };
  },
};

describe('of a controller behind a bridge', () => {
  async function running(options: Partial<ClientOptions> = {}) {
    const clock = new MonotonicClock();
    const server = await RosbridgeServer.start({ port: 0 });
    const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
    let talks = true;
    const timer = setInterval(() => talks && publish(jointState(header(), ['a', 'b'], [0, 0])), 5);
    const file = parseRobotFile(
      `
name: two
bridge: { url: '${server.url}' }
rate_hz: 100
joint_names: [a, b]
limits: { lower: [-3, -3], upper: [3, 3], velocity: [1, 1] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 2000, freshness_ms: 1000 }`,
      'two.yaml',
    );
    const robot = new RosbridgeRobot(file, clock, { backoff_ms: [5, 20], ping_ms: 20, ...options });
    const controller = new Controller({
      robot,
      policy: creeping,
      clock,
      limits: file.limits,
      rate_hz: file.rate_hz,
      position_key: 'joint_position',
      // Long enough that a busy machine alone never makes an observation old.
      freshness_ms: 1000,
      inference_ms: 2000,
      lifetime_ms: 100,
    });
    const port = new (addon().Executor)({ joints: 2, rate_hz: 100, limits: file.limits });
    const executor = new RealTimeExecutor(port, clock);
    const metrics = new LoopMetrics({
      controller,
      robot,
      clock,
      rate_hz: 100,
      executor: () => executor.stats(),
    });
    const http = await serveMetrics(metrics, { port: 0 });
    closers.push(async () => {
      clearInterval(timer);
      await http.close();
      metrics.close();
      await controller.stop();
      executor.close();
      await robot.close();
      await server.close();
    });
    await robot.connect();
    executor.start();
    controller.start();
    return {
      controller,
      robot,
      executor,
      clock,
      server,
      url: http.url,
      quiet: (silent: boolean) => {
        talks = !silent;
      },
    };
  }

  test('every name has its type, and counters rise with what they count', async () => {
    const { controller, url, quiet } = await running();
    expect(new URL(url).hostname).toBe('127.0.0.1');
    await until(
      () => 'READY',
      () => controller.supervisor.state === 'READY',
    );
    controller.go();
    await until(
      () => 'chunks and commands',
      () => controller.stats.actions > 20,
    );
    const first = await scrape(url);
    expect(Object.fromEntries([...first.families].map(([name, { type }]) => [name, type]))).toEqual({
      tendon_control_ticks_total: 'counter',
      tendon_control_deadline_misses_total: 'counter',
      tendon_commands_total: 'counter',
      tendon_actions_total: 'counter',
      tendon_control_target_rate_hertz: 'gauge',
      tendon_control_rate_hertz: 'gauge',
      tendon_control_lateness_seconds: 'histogram',
      tendon_inference_answer_seconds: 'histogram',
      tendon_inference_stage_seconds: 'histogram',
      tendon_interventions_total: 'counter',
      tendon_supervisor_state: 'gauge',
      tendon_listener_errors_total: 'counter',
      tendon_command_drops_total: 'counter',
      tendon_observation_messages_total: 'counter',
      tendon_observation_windows_unfilled_total: 'counter',
      tendon_bridge_frames_dropped_total: 'counter',
      tendon_bridge_cut_off_total: 'counter',
      tendon_bridge_messages_overtaken_total: 'counter',
      tendon_bridge_cbor_fallbacks_total: 'counter',
      tendon_bridge_connections_total: 'counter',
      tendon_observation_age_seconds: 'gauge',
      tendon_bridge_round_trip_seconds: 'histogram',
      tendon_executor_ticks_total: 'counter',
      tendon_executor_missed_ticks_total: 'counter',
      tendon_executor_commands_total: 'counter',
      tendon_executor_limited_total: 'counter',
      tendon_executor_used_up_total: 'counter',
      tendon_executor_ring_full_total: 'counter',
      tendon_executor_heartbeats_lost_total: 'counter',
      tendon_executor_missed_holds_total: 'counter',
      tendon_executor_unsent_total: 'counter',
      tendon_executor_lateness_seconds: 'gauge',
    });
    // Each tick is in the histogram once, those of this very moment included.
    expect(first.value('tendon_control_lateness_seconds_count')).toBe(
      first.value('tendon_control_ticks_total'),
    );
    expect(first.value('tendon_control_target_rate_hertz')).toBe(100);
    // One for what is observed, one for commands.
    expect(first.value('tendon_bridge_connections_total')).toBe(2);
    const stage = (name: string) => {
      const labels = { stage: name };
      const n = first.value('tendon_inference_stage_seconds_count', labels);
      return first.value('tendon_inference_stage_seconds_sum', labels) / n;
    };
    // Means of equal numbers of milliseconds; the sum of doubles is all that may round.
    for (const [name, mean] of Object.entries({ queue: 1e-3, observe: 2e-3, denoise: 3e-3, total: 6e-3 }))
      expect(stage(name)).toBeCloseTo(mean, 12);
    const state = (look: typeof first) =>
      CONTROL_STATES.filter((name) => look.value('tendon_supervisor_state', { state: name }) === 1);
    expect(state(first)).toEqual(['RUNNING']);

    // Each of these may have stood still since that scrape; what they count must go on before it is made to end.
    const heard = { topic: '/joint_states', outcome: 'samples' };
    const rising = [
      'tendon_control_ticks_total',
      'tendon_commands_total',
      'tendon_executor_ticks_total',
      'tendon_control_lateness_seconds_count',
      'tendon_bridge_round_trip_seconds_count',
    ];
    await until(
      () => 'every counter to rise',
      async () => {
        const later = await scrape(url);
        return (
          rising.every((name) => later.value(name) > first.value(name)) &&
          later.value('tendon_observation_messages_total', heard) >
            first.value('tendon_observation_messages_total', heard)
        );
      },
    );
    quiet(true);
    const silent = { cause: 'observation_stale' };
    await until(
      () => 'the intervention',
      async () => (await scrape(url)).value('tendon_interventions_total', silent) > 0,
    );
    const second = await scrape(url);
    expect(first.value('tendon_interventions_total', silent)).toBe(0);
    expect(state(second)).toEqual(['HOLD']);
    expect(second.value('tendon_observation_age_seconds')).toBeGreaterThan(1);
    for (const { samples, type } of first.families.values())
      for (const { name, labels, value } of type === 'counter' ? samples : [])
        expect(second.value(name, labels)).toBeGreaterThanOrEqual(value);
    await until(
      () => 'the rate of a whole second',
      async () => (await scrape(url)).value('tendon_control_rate_hertz') > 0,
    );
  });

  test('what the executor does by itself, listeners that fail, and a compression given up', async () => {
    const { controller, executor, robot, clock, url } = await running();
    controller.supervisor.onChange(() => {
      throw new Error('no matter');
    });
    controller.onChunk(() => {
      throw new Error('no matter either');
    });
    robot.client.subscribe('/nobody', 'demo/Nothing', () => undefined, {
      compression: 'cbor',
      no_data_ms: 50,
    });
    await until(
      () => 'READY',
      () => controller.supervisor.state === 'READY',
    );
    controller.go();
    executor.begin([0, 0]);
    // At 1 rad/s it is out of reach, and soon over.
    executor.target([3, -3], clock.now_ns(), 20e6);
    const first = await scrape(url);
    expect(first.value('tendon_bridge_cut_off_total', { cause: 'thread_lost' })).toBe(0);
    const grow = [
      ['tendon_executor_limited_total', {}],
      ['tendon_executor_used_up_total', {}],
      ['tendon_listener_errors_total', { to: 'supervisor' }],
      ['tendon_listener_errors_total', { to: 'loop' }],
      ['tendon_bridge_cbor_fallbacks_total', {}],
    ] as const;
    await until(
      () => 'each to be counted',
      async () => {
        const { value } = await scrape(url);
        return grow.every(([name, labels]) => value(name, labels) > 0);
      },
    );
    expect((await scrape(url)).value('tendon_bridge_cbor_fallbacks_total')).toBe(1);
  });

  test('a socket’s thread that ends', async () => {
    const threads: Worker[] = [];
    const remember = (worker: Worker) => threads.push(worker);
    process.on('worker', remember);
    const { controller, url } = await running({ socket_thread: true });
    process.off('worker', remember);
    await until(
      () => 'READY',
      () => controller.supervisor.state === 'READY',
    );
    await threads[0]!.terminate();
    await until(
      () => 'another connection',
      async () => (await scrape(url)).value('tendon_bridge_connections_total') === 2,
    );
    const { value } = await scrape(url);
    expect(value('tendon_bridge_cut_off_total', { cause: 'thread_lost' })).toBe(1);
    expect(value('tendon_bridge_cut_off_total', { cause: 'silent' })).toBe(0);
  });

  test('each of the bridge’s counters is shown under its own name', async () => {
    const { controller } = await running();
    const counted = { silent: 2, unread: 3, threads_lost: 4, overtaken: 5, malformed: 6 };
    const metrics = new LoopMetrics(quietLoop(controller, counted));
    closers.push(() => metrics.close());
    const text = await metrics.text();
    for (const line of [
      'tendon_bridge_cut_off_total{cause="silent"} 2',
      'tendon_bridge_cut_off_total{cause="unread"} 3',
      'tendon_bridge_cut_off_total{cause="thread_lost"} 4',
      'tendon_bridge_messages_overtaken_total 5',
      'tendon_bridge_frames_dropped_total{cause="malformed"} 6',
    ])
      expect(text.split('\n')).toContain(line);
  });

  test('a bridge that goes away is counted by cause, and only /metrics is served', async () => {
    const { controller, server, url } = await running();
    await until(
      () => 'READY',
      () => controller.supervisor.state === 'READY',
    );
    controller.go();
    await until(
      () => 'motion',
      () => controller.stats.actions > 5,
    );
    await server.close();
    await until(
      () => 'robot_lost',
      async () => (await scrape(url)).value('tendon_interventions_total', { cause: 'robot_lost' }) === 1,
    );
    expect((await fetch(new URL('/', url))).status).toBe(404);
    expect((await fetch(url, { method: 'POST' })).status).toBe(405);
    const { port } = new URL(url);
    const metrics = new LoopMetrics(quietLoop(controller));
    closers.push(() => metrics.close());
    await expect(serveMetrics(metrics, { port: Number(port) })).rejects.toThrow('the port is taken');
  });
});

/** The controller alone, for a second set of metrics. */
function quietLoop(
  controller: Controller,
  counted: Readonly<Record<string, number>> = {},
): ConstructorParameters<typeof LoopMetrics>[0] {
  const counters = () => ({ ...zeroCounters(), ...counted });
  const client = { counters, cbor_fallbacks: 0, onRoundTrip: () => () => undefined };
  const robot = { drops: {}, streamCounters: () => ({}), client, latest: () => undefined };
  return { controller, robot, clock: new MonotonicClock(), rate_hz: 100 };
}

function tendon(args: readonly string[]): TendonProcess {
  const started = startTendon(args);
  closers.push(() => started.child.kill('SIGKILL'));
  return started;
}

describe('of tendon run', () => {
  /** What the policy of the arm needs, at rest, until told to be quiet. */
  async function arm() {
    const server = await RosbridgeServer.start({ port: 0 });
    const position = [0, 0.3, 1, 0, 0.5, 0];
    const names = ['base_yaw', 'shoulder_pitch', 'elbow_pitch', 'forearm_roll', 'wrist_pitch', 'wrist_roll'];
    const observation = server.advertise('/observation', 'tendon_msgs/Observation');
    const joints = server.advertise('/joint_states', 'sensor_msgs/JointState');
    const timer = setInterval(() => {
      const head = header();
      joints(jointState(head, names, position));
      observation(
        observationMessage(head, {
          'observation.state': [...position, 0, 0, 0, 0, 0, 0],
          'observation.environment_state': Array(9).fill(0.1),
          'observation.goal': Array(7).fill(0.1),
          goal: [0.1, 0.1],
        }),
      );
    }, 10);
    closers.push(async () => {
      clearInterval(timer);
      await server.close();
    });
    let commands = 0;
    server.subscribe('/command', () => commands++);
    return { url: server.url, commanded: () => commands, quiet: () => clearInterval(timer) };
  }
  const RUN = ['run', '--policy', 'models/arm', '--robot', 'launch/sim-arm.yaml', '--threads', '1'];

  test('--log json: one object a line, every intervention with its cause; --metrics', async () => {
    const { url, quiet } = await arm();
    const {
      output,
      events: objects,
      end: finish,
    } = tendon([...RUN, '--bridge', url, '--log', 'json', '--metrics', '0']);
    await until(output, () => objects().some(({ event, to }) => event === 'state' && to === 'RUNNING'));
    const address = /http:\/\/127\.0\.0\.1:\d+\/metrics/.exec(output())![0];
    await until(output, async () => (await scrape(address)).value('tendon_commands_total') > 0);
    quiet();
    const stale = () => objects().filter(({ intervention }) => intervention === 'observation_stale');
    await until(output, () => stale().length > 0);
    expect(stale()[0]).toMatchObject({
      level: 40,
      event: 'intervention',
      cause: 'the newest observation is older than its limit',
      times: 1,
      total: 1,
    });
    expect(await finish()).toBe(0);
    const end = objects().at(-1)!;
    expect(end.event).toBe('end');
    const causes = objects().filter(({ event }) => event === 'intervention');
    expect(causes.reduce((sum, { times }) => sum + Number(times), 0)).toBe(end.interventions);
    for (const one of objects()) expect(Number.isNaN(Date.parse(String(one.time)))).toBe(false);
  });

  test('--log silent says nothing, --log loud is refused', async () => {
    const { url, commanded } = await arm();
    const { output, end } = tendon([...RUN, '--bridge', url, '--log', 'silent', '--metrics', '0']);
    await until(output, () => commanded() > 10);
    expect(await end()).toBe(0);
    expect(output()).toBe('');
    const refused = tendon([...RUN, '--log', 'loud']);
    expect(await refused.ended()).toBe(2);
    expect(refused.output()).toContain('--log: expected pretty, json, silent, got "loud"');
  });
});

test('of tendon start: beside the page, of the task that runs', async () => {
  const { output } = tendon(['start', '--port', '0', '--task', 'pusht', '--threads', '1']);
  await until(output, () => /http:\S+metrics/.test(output()), 60_000);
  const address = /http:\S+metrics/.exec(output())![0];
  await until(output, async () => (await scrape(address)).value('tendon_commands_total') > 0);
  const { value } = await scrape(address);
  expect(value('tendon_control_target_rate_hertz')).toBe(50);
  expect(value('tendon_inference_stage_seconds_count', { stage: 'denoise' })).toBeGreaterThan(0);
});

test('the parser is strict', () => {
  const good = '# HELP a_total A.\n# TYPE a_total counter\na_total{x="\\"1\\""} 2\n';
  expect(parsePrometheus(good).get('a_total')!.samples[0]!.labels).toEqual({ x: '"1"' });
  for (const [bad, why] of [
    [good.trimEnd(), 'does not end'],
    [good.replace('} 2', '} two'), 'not a number'],
    [good.replace('} 2', '} -2'), 'below zero'],
    [good.replace('a_total{', 'b_total{'), 'not a sample of'],
    [good.replace('# HELP a_total A.\n', ''), 'no HELP'],
    [`${good}a_total{x="\\"1\\""} 3\n`, 'twice'],
    [
      '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
      'do not rise',
    ],
    ['# HELP h H.\n# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 1\n', 'is not that of'],
  ] as const)
    expect(() => parsePrometheus(bad)).toThrow(why);
});
