// Opens what a session on a robot is made of, each part into the stack that closes it.

import { type Disposer, onListenerFault } from '../base/index.js';
import { Controller, Leader, MonotonicClock } from '../control/index.js';
import type { LastWill, LastWords } from '../host/last-will.js';
import { type RunLog, SILENT } from '../host/log.js';
import { ServiceManager } from '../host/service.js';
import { type LoadOptions, withOptions } from '../policies/index.js';
import { bridgeAddress, loadRobotFile } from '../robot/index.js';
import { RosbridgeRobot } from '../rosbridge/index.js';
import type { RealTimeExecutor } from '../sinks/index.js';
import { loadSteered, type SteerablePolicy, type SteeringOptions } from '../steering/index.js';
import { asTendonError, type RobotFile, TendonError } from '../types/index.js';
import type { WebServer, WebServerOptions } from '../web/index.js';
import { ChainDrawing } from './chain-drawing.js';
import { controllerOptions } from './controller-options.js';
import { DryRun } from './dry-run.js';
import { Link } from './ending.js';
import { checkFit, needsOf } from './fit.js';
import { type MetricsAddress, observe } from './observe.js';
import { type Operator, operatorOf } from './operator.js';
import { openRecorder } from './recording.js';
import { openPage } from './robot-page.js';
import { openSink } from './sink.js';
import { Words } from './words.js';

/** How often a leader that fell silent is noticed, ms. */
const LEADER_POLL_MS = 20;

/** What a session on a robot is made of; only `robot` and `policy` are needed. */
export interface RobotSessionOptions {
  /** Robot file. */
  readonly robot: string;
  /** Checkpoint folder. */
  readonly policy: string;
  readonly load?: LoadOptions;
  /** Manifest of parts, or false for none; the folder's own when absent. */
  readonly parts?: string | false | undefined;
  /** Scores that the program computes (docs/parts.md). */
  readonly functions?: SteeringOptions['functions'];
  /** Address of the bridge; the robot file's when absent. */
  readonly bridge?: string | undefined;
  /** Observation with the measured values of what is commanded; the robot file's when absent. */
  readonly position_key?: string | undefined;
  /** Of the policy's noise; default 0. */
  readonly seed?: number;
  /** New file that gets everything that happens. */
  readonly record?: string | undefined;
  /** Everything but publishing commands. */
  readonly dry_run?: boolean;
  readonly page?: WebServerOptions | undefined;
  readonly metrics?: MetricsAddress | undefined;
  /** Silent when absent. */
  readonly log?: RunLog;
  /** Takes over the process' signals and faults from when the policy is loaded: each then ends the session. */
  readonly will?: LastWill;
  /** Where systemd's variables are; none are looked for when absent. */
  readonly env?: NodeJS.ProcessEnv;
}

/** What a session is made of; opened in `openParts`, closed by the stack it was given. */
export interface Parts {
  readonly log: RunLog;
  readonly service: ServiceManager | undefined;
  readonly file: RobotFile;
  readonly policy: SteerablePolicy;
  readonly robot: RosbridgeRobot;
  readonly controller: Controller;
  readonly operator: Operator;
  readonly words: Words;
  readonly executor: RealTimeExecutor | undefined;
  readonly dry: DryRun | undefined;
  readonly page: WebServer | undefined;
  readonly link: Link;
}

export const cancelled = (signal: AbortSignal): TendonError =>
  new TendonError('cancelled', `ended before it began: ${signal.reason}`);

/** Throws `cancelled` when `early` is aborted before the robot answered. `end` is what a signal or a fault calls. */
export async function openParts(
  options: RobotSessionOptions,
  closing: Disposer,
  early: AbortSignal,
  end: (words: LastWords) => Promise<unknown>,
): Promise<Parts> {
  const { seed = 0, dry_run = false, log = SILENT, will } = options;
  const service = options.env && ServiceManager.of(options.env);
  const given = loadRobotFile(options.robot);
  const file: RobotFile = {
    ...given,
    measured: options.position_key ?? given.measured,
    bridge: {
      ...given.bridge,
      url: options.bridge === undefined ? given.bridge.url : bridgeAddress(options.bridge, '--bridge'),
    },
  };
  const rate = file.policy_hz === undefined ? {} : { policy_hz: file.policy_hz };
  const load = withOptions({ ...rate, ...options.load }, needsOf(file.chunks, file.teleop?.share));
  // Until here nothing is open, and a signal may end the process as it ends any.
  const policy = await loadSteered(options.policy, load, {
    parts: options.parts,
    functions: options.functions,
    tip: tipOf(file),
  });
  if (will !== undefined) closing.defer('signals', will.arm(end));
  closing.defer('policy', () => policy.close());
  closing.defer(
    'listeners',
    onListenerFault(({ emitter, caught }) =>
      log.record(
        'listener_failed',
        { emitter },
        `a listener of the ${emitter} failed: ${asTendonError(caught, emitter).message}`,
      ),
    ),
  );
  const clock = new MonotonicClock();
  const robot = new RosbridgeRobot(file, clock);
  closing.defer('bridge', () => robot.close());
  closing.defer(
    'notices',
    robot.onNotice((notice) => log.record('bridge_notice', { notice }, `  ${notice}`)),
  );
  checkFit(policy.spec, file, options.robot, file.measured);
  const words = new Words(file.task?.text);
  const settings = { ...controllerOptions(file, { robot, policy, clock }), task: () => words.current };
  const recorder = await openRecorder(
    options.record,
    {
      robot: file.name,
      joint_names: file.joint_names,
      policy: options.policy,
      load,
      parts: options.parts,
      seed,
      controller: settings,
    },
    policy,
    (note) => log.say(`  ${note}`),
  );
  if (recorder !== undefined) closing.defer('recording', () => recorder.close());
  const dry = dry_run ? new DryRun(file, file.measured, recorder) : undefined;
  const { sink, executor } = openSink(
    file,
    robot,
    clock,
    dry_run,
    recorder && ((command) => recorder.executed(command)),
  );
  closing.defer('executor', () => executor?.close());
  closing.defer('commands', () => sink.close());
  const controller = new Controller({ ...settings, sink, tap: dry ?? recorder });
  recorder?.watch(controller);
  policy.reset(seed);
  controller.supervisor.onChange(({ from, to, cause }) => {
    log.record('state', { from, to, cause }, `${from} → ${to}: ${cause}`);
    service?.status(`${to}: ${cause}`);
  });
  const link = new Link(robot, controller);
  const operator = operatorOf(controller, seed, log.say);
  listenToPeople(file, robot, controller, clock, closing);
  listenToWords(robot, words, log, closing);
  log.say(`connecting to ${file.bridge.url} …`);
  // Whoever may stop the robot is heard from here on: a latched stop comes with the first subscription.
  await unlessAborted(robot.connect(), early);
  const page =
    options.page &&
    (await openPage(
      { file, controller, robot, policy, position_key: file.measured, operator, words },
      options.page,
    ));
  if (page !== undefined) {
    closing.defer('page', () => page.close());
    log.say(`  the page: ${page.url}`);
  }
  closing.defer(
    'metrics',
    await observe(
      { controller, robot, clock, rate_hz: file.rate_hz, executor: executor && (() => executor.stats()) },
      log,
      options.metrics,
    ),
  );
  return {
    ...{ log, service, file, policy, robot, controller, operator, words },
    ...{ executor, dry, page, link },
  };
}

/** Where an action leads the tip, of a robot file that has a chain. */
function tipOf({ workspace }: RobotFile): ((action: ArrayLike<number>) => ArrayLike<number>) | undefined {
  const drawing = workspace && new ChainDrawing(workspace);
  return drawing && ((action) => drawing.hand(action));
}

/** Stops, heartbeats and leader devices that speak through the bridge. */
function listenToPeople(
  file: RobotFile,
  robot: RosbridgeRobot,
  controller: Controller,
  clock: MonotonicClock,
  closing: Disposer,
): void {
  const leader = file.teleop && new Leader(file.teleop, controller);
  const watch = setInterval(() => leader?.poll(clock.now_ns()), LEADER_POLL_MS);
  closing.defer('leader', () => clearInterval(watch));
  robot.onOperator({
    stop: (cause) => controller.emergencyStop(cause),
    clear: () => controller.stopState(false),
    beat: () => controller.operatorBeat(),
    leader: (reading) => leader?.onReading(reading, clock.now_ns()),
    clutch: (closed) => leader?.onClutch(closed),
  });
}

/** The task as a topic says it; each change is logged. */
function listenToWords(robot: RosbridgeRobot, words: Words, log: RunLog, closing: Disposer): void {
  const refused = (caught: unknown): void => log.say(`  ${asTendonError(caught, 'task').message}`);
  const unheard = robot.onOperator({
    stop: () => undefined,
    beat: () => undefined,
    task(text, topic) {
      try {
        words.say(text, topic);
      } catch (caught) {
        refused(caught);
      }
    },
  });
  const unlogged = words.onChange(({ text, who }) =>
    log.record('task', { text, who }, `the task, by ${who}: ${text}`),
  );
  closing.defer('words', () => {
    unheard();
    unlogged();
  });
}

/** Rejects with `cancelled` as soon as `signal` is aborted. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(cancelled(signal)), { once: true });
  });
  // Whichever loses may still reject; nobody asks any more.
  work.catch(() => undefined);
  aborted.catch(() => undefined);
  if (signal.aborted) throw cancelled(signal);
  return Promise.race([work, aborted]);
}
