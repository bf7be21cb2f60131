// `tendon run`: a policy on a robot behind rosbridge, as its robot file says.

import { Controller, type ControllerOptions, Leader, MonotonicClock } from '../control/index.js';
import { openLog } from '../host/log.js';
import { collectGarbage, preferControl } from '../host/priority.js';
import { ServiceManager } from '../host/service.js';
import { loadPolicy } from '../policies/index.js';
import { bridgeAddress, loadRobotFile } from '../robot/index.js';
import { RosbridgeRobot } from '../rosbridge/index.js';
import { DryRun } from '../session/dry-run.js';
import { checkFit, needsOf } from '../session/fit.js';
import { observe } from '../session/observe.js';
import { operatorOf } from '../session/operator.js';
import { openRecorder } from '../session/recording.js';
import { openPage } from '../session/robot-page.js';
import { openSink } from '../session/sink.js';
import {
  type Command,
  loadOptions,
  PAGE_NAME_OPTION,
  POLICY_OPTIONS,
  pageNames,
  TOKEN_OPTION,
  tokenOf,
} from './command.js';
import { KEYS_HELP, listenToKeys } from './keys.js';
import { RECORD_OPTION } from './recording.js';

/** How often a leader that fell silent is noticed, ms. */
const LEADER_POLL_MS = 20;

export const run: Command = {
  summary: 'run a policy on a robot behind rosbridge',
  usage: 'tendon run DIR --robot launch/FILE.yaml [--bridge ws://HOST:9090] [--page 8080] [--dry-run]',
  examples: [
    'tendon run models/mine --robot launch/so101.yaml --dry-run',
    'tendon run models/mine --robot launch/so101.yaml --page 8080 --record session.mcap',
    'tendon run models/arm --robot launch/sim-arm.yaml --bridge ws://192.168.1.20:9090',
  ],
  takes: 'policy',
  options: {
    policy: { type: 'string', help: 'checkpoint folder' },
    robot: { type: 'string', help: 'robot file: topics, joint order, limits, deadlines' },
    bridge: { type: 'string', help: 'rosbridge address; default: the robot file’s' },
    'position-key': {
      type: 'string',
      help: 'observation that holds the measured values of what is commanded; default: the robot file’s',
    },
    seed: { type: 'string', default: '0', help: 'of the policy’s noise' },
    ...RECORD_OPTION,
    'dry-run': {
      type: 'boolean',
      default: false,
      help: 'everything but publishing commands, which are shown',
    },
    page: { type: 'string', help: 'port of a live page with HOLD, STOP and plots; 0 takes a free one' },
    'page-host': {
      type: 'string',
      default: '127.0.0.1',
      help: 'address of the page; anything but loopback needs a token',
    },
    metrics: { type: 'string', help: 'port for GET /metrics (Prometheus); 0 takes a free one' },
    'metrics-host': {
      type: 'string',
      default: '127.0.0.1',
      help: 'address of /metrics; anything but loopback needs a token',
    },
    ...TOKEN_OPTION,
    ...PAGE_NAME_OPTION,
    log: { type: 'string', default: 'pretty', help: 'pretty, json (one object a line) or silent' },
    ...POLICY_OPTIONS,
  },
  async run(values, { text, integer, say: print, stopped }) {
    const log = openLog(text('log'), print);
    const { say } = log;
    const service = ServiceManager.of(process.env);
    const token = tokenOf(values);
    const file = loadRobotFile(text('robot'));
    const load = { ...loadOptions(values), ...needsOf(file.chunks, file.teleop?.share) };
    const policy = await loadPolicy(text('policy'), load);
    const url = values.bridge === undefined ? file.bridge.url : bridgeAddress(text('bridge'), '--bridge');
    const clock = new MonotonicClock();
    const robot = new RosbridgeRobot({ ...file, bridge: { ...file.bridge, url } }, clock);
    const position_key = values['position-key'] === undefined ? file.measured : text('position-key');
    checkFit(policy.spec, file, text('robot'), position_key);
    const settings: ControllerOptions = {
      robot,
      policy,
      clock,
      limits: file.limits,
      rate_hz: file.rate_hz,
      position_key,
      freshness_ms: file.deadlines.freshness_ms,
      inference_ms: file.deadlines.inference_ms,
      lifetime_ms: file.command.lifetime_ms,
      quantity: file.command.quantity,
      chunks: file.chunks,
      interpolation: file.interpolation,
      rotations: file.rotations,
      workspace: file.workspace,
      teleop: file.teleop?.share,
      operator_timeout_ms: file.operator_heartbeat?.timeout_ms,
      resume_within_ms: file.deadlines.resume_within_ms,
      stop_topic: file.stop?.topic !== undefined,
    };
    const seed = integer('seed', 0, 1e9);
    const facts = {
      robot: file.name,
      joint_names: file.joint_names,
      policy: text('policy'),
      load,
      seed,
      controller: settings,
    };
    const record = values.record === undefined ? undefined : text('record');
    const recorder = await openRecorder(record, facts, policy, (note) => say(`  ${note}`));
    const dry = values['dry-run'] === true ? new DryRun(file, position_key, recorder) : undefined;
    const { sink, executor } = openSink(
      file,
      robot,
      clock,
      values['dry-run'] === true,
      recorder && ((command) => recorder.executed(command)),
    );
    const controller = new Controller({ ...settings, sink, tap: dry ?? recorder });
    recorder?.watch(controller);
    policy.reset(seed);
    controller.supervisor.onChange(({ from, to, cause }) => {
      log.record('state', { from, to, cause }, `${from} → ${to}: ${cause}`);
      service?.status(`${to}: ${cause}`);
    });
    const operator = operatorOf(controller, seed, say);
    const leader = file.teleop && new Leader(file.teleop, controller);
    const watchLeader = setInterval(() => leader?.poll(clock.now_ns()), LEADER_POLL_MS);
    robot.onOperator({
      stop: (cause) => controller.emergencyStop(cause),
      beat: () => controller.operatorBeat(),
      leader: (reading) => leader?.onReading(reading, clock.now_ns()),
      clutch: (closed) => leader?.onClutch(closed),
    });
    let quit = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      quit = resolve;
    });
    const letGo = listenToKeys(process.stdin, {
      stop: () => operator.stop('a key'),
      hold: () => operator.hold('a key'),
      resume: () => operator.resume(),
      question: () =>
        say(
          controller.state === 'STOPPED'
            ? '  clear the stop? y does, any other key leaves it'
            : `  nothing is stopped: ${controller.state}`,
        ),
      clear: () => operator.clear(),
      quit,
    });
    if (letGo !== undefined) say(`  ${KEYS_HELP}`);
    say(`connecting to ${url} …`);
    try {
      // Whoever may stop the robot is heard from here on: a latched stop comes with the first subscription.
      await robot.connect();
    } catch (cause) {
      letGo?.();
      clearInterval(watchLeader);
      sink.close();
      throw cause;
    }
    const metrics =
      values.metrics === undefined
        ? undefined
        : { port: integer('metrics', 0, 65535), host: text('metrics-host'), token };
    const letLook =
      values.page === undefined
        ? undefined
        : await openPage(
            { file, controller, robot, policy, position_key, operator },
            { port: integer('page', 0, 65535), host: text('page-host'), token, hosts: pageNames(values) },
            say,
          );
    const letObserve = await observe(
      { controller, robot, clock, rate_hz: file.rate_hz, executor: executor && (() => executor.stats()) },
      log,
      metrics,
    );
    executor?.start();
    const refused = preferControl();
    if (executor !== undefined && executor.stats().refused !== '') refused.push(executor.stats().refused);
    if (refused.length > 0) say(`  the control loop goes on without ${refused.join(' and ')}`);
    const letShow = dry?.show(robot, log);
    collectGarbage();
    controller.start();
    service?.ready();
    if (service !== undefined && service.refused !== '') say(`  systemd was not told: ${service.refused}`);
    service?.watch(() =>
      executor === undefined ? [controller.stats.ticks] : [controller.stats.ticks, executor.stats().ticks],
    );
    await Promise.race([stopped(), asked]);
    service?.stopping();
    letGo?.();
    clearInterval(watchLeader);
    controller.hold('Ctrl-C');
    await comeToRest(controller);
    const { stats, supervisor } = controller;
    await controller.stop();
    letShow?.();
    await letObserve();
    await letLook?.();
    sink.close();
    const executed = executor?.stats();
    executor?.close();
    await recorder?.close();
    await robot.close();
    policy.close();
    const commands = executed?.commands ?? stats.commands;
    const { deadline_misses } = stats;
    const { interventions } = supervisor;
    log.record(
      'end',
      { commands, deadline_misses, interventions },
      `${commands} commands, ${deadline_misses} deadline misses, ${interventions} interventions`,
    );
    if (executed !== undefined)
      say(
        `executor: late p99 ${(executed.late_p99_ns / 1000).toFixed(0)} µs, max ${(executed.late_max_ns / 1000).toFixed(0)} µs, ${executed.missed_holds} missed holds`,
      );
    await log.close();
    return 0;
  },
};

/** Gives what was in motion the time to brake within its limits; nobody waits longer than a second to end. */
async function comeToRest(controller: Controller): Promise<void> {
  const limit_ms = performance.now() + 1000;
  while (controller.supervisor.state === 'HOLD' && controller.underWay && performance.now() < limit_ms)
    await new Promise((resolve) => setTimeout(resolve, 10));
}
