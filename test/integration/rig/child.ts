// The controller under test, in a process of its own: it can be stopped and continued like any other. Told what to do by
// lines on its standard input, and says its state by lines on its standard output.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

const PROGRAM = `
import { Controller, MonotonicClock } from './dist/control/index.js';
import { parseRobotFile } from './dist/robot/index.js';
import { RosbridgeRobot } from './dist/rosbridge/index.js';
import { openSink } from './dist/session/sink.js';
import { createInterface } from 'node:readline';

const { text, seed } = JSON.parse(process.argv[2]);
const file = parseRobotFile(text, 'rig.yaml', { onNotice: () => undefined });
const clock = new MonotonicClock();
const robot = new RosbridgeRobot(file, clock, { backoff_ms: [5, 20] });
const { sink, executor } = openSink(file, robot, clock, false, undefined);
const joints = file.joint_names.length;
let draws = seed;
const random = () => {
  draws = (Math.imul(draws, 1664525) + 1013904223) >>> 0;
  return draws / 4294967296;
};
// Wants to be far away at once, every time somewhere else: only the limits keep it tame.
const policy = {
  spec: {
    family: 'restless', n_obs_steps: 1, horizon: 12, n_action_steps: 4, action_dim: joints,
    observation_dims: { joint_position: joints }, image_shapes: {}, goal_dims: {}, rate_hz: 20,
  },
  reset: () => undefined,
  close: () => undefined,
  async infer(window) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const row = Array.from({ length: joints }, () => 6 * random() - 3);
    return {
      stamp_ns: window.at(-1).stamp_ns, period_ns: 50e6, horizon: 12, action_dim: joints,
      actions: Float32Array.from({ length: 12 * joints }, (_, i) => row[i % joints]),
      n_candidates: 1, chosen: 0, timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
    };
  },
};
const { freshness_ms, inference_ms, resume_within_ms } = file.deadlines;
const controller = new Controller({
  robot, policy, clock, sink, limits: file.limits, rate_hz: file.rate_hz, position_key: file.measured,
  freshness_ms, inference_ms, resume_within_ms, lifetime_ms: file.command.lifetime_ms,
  quantity: file.command.quantity, stop_topic: file.stop?.topic !== undefined,
});
/** What its stamps are ahead of this machine's clock. */
const aheadOfClock = () => {
  const stamp = robot.client.clock.toServer(clock.now_ns());
  return stamp === undefined ? 0 : stamp.sec * 1e3 + stamp.nanosec / 1e6 - performance.timeOrigin - performance.now();
};
const tell = () => {
  const { state, supervisor } = controller;
  const said = { state, held: supervisor.heldByOperator, cause: supervisor.cause, ahead_ms: aheadOfClock() };
  console.log(JSON.stringify(said));
};
setInterval(tell, 25);
controller.supervisor.onChange(tell);
robot.onOperator({
  stop: (cause) => controller.stopState(true, cause),
  beat: () => controller.operatorBeat(),
  clear: () => controller.stopState(false),
});
createInterface(process.stdin).on('line', (line) => {
  if (line === 'go') controller.go();
  else if (line === 'hold') controller.hold();
  else if (line === 'resume') controller.resume();
  else if (line === 'reset') controller.reset(1);
  else if (line === 'end') controller.stop().then(() => process.exit(0));
  else controller.takeOver(line === 'release' ? undefined : JSON.parse(line), 100);
  tell();
});
await robot.connect();
executor?.start();
controller.start();
`;

export interface Said {
  readonly state: string;
  readonly held: boolean;
  readonly cause: string;
  /** What its stamps are ahead of this machine's clock, ms. */
  readonly ahead_ms: number;
}

export class Under {
  now: Said = { state: 'none', held: false, cause: '', ahead_ms: 0 };
  readonly errors: string[] = [];
  private readonly child: ChildProcess;
  private readonly folder: string;

  constructor(text: string, seed: number) {
    // A file, since threads inherit the options of a program that is given as text.
    this.folder = mkdtempSync(join(tmpdir(), 'tendon-rig-'));
    const program = join(this.folder, 'under.mjs');
    writeFileSync(program, PROGRAM.replaceAll("'./dist/", `'${root}dist/`));
    const args = [program, JSON.stringify({ text, seed })];
    this.child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    createInterface(this.child.stdout!).on('line', (line) => {
      this.now = JSON.parse(line) as Said;
    });
    createInterface(this.child.stderr!).on('line', (line) => this.errors.push(line));
  }

  get gone(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  say(line: string): void {
    this.child.stdin!.write(`${line}\n`);
  }

  /** Stands still until `go_on`. */
  stand(): void {
    this.child.kill('SIGSTOP');
  }

  goOn(): void {
    this.child.kill('SIGCONT');
  }

  kill(): void {
    this.child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
