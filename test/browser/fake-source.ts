// A scripted LiveSource for tests of the page alone: an arm-like scene that moves on its own, every intent kept,
// and the few answers a page can see (state, goal, choice). Nothing in the product uses it.

import type {
  ControlState,
  LiveChunk,
  LiveFrame,
  LiveScene,
  LiveSource,
  LiveStatus,
  OperatorIntent,
  SamplerChoice,
} from '../../src/types/live.js';

type Vector3 = readonly [number, number, number];

const ARM: LiveScene = {
  kind: 'scene',
  simulated: true,
  task: 'fake_arm',
  summary: 'A scripted arm swings over a table and never tires: reach the ghost, mind the post.',
  joint_names: ['base', 'shoulder', 'elbow', 'wrist'],
  limits: { lower: [-2.6, -1.4, 0, -2], upper: [2.6, 1.7, 2.7, 2] },
  shapes: [
    shape('table', 'box', [0.45, 0.6, 0.02], [0.78, 0.72, 0.63, 1], 'scene'),
    shape('pedestal', 'cylinder', [0.075, 0.05, 0], [0.2, 0.23, 0.28, 1], 'robot'),
    shape('upper', 'capsule', [0.045, 0.18, 0], [0.93, 0.49, 0.19, 1], 'robot'),
    shape('elbow', 'sphere', [0.052, 0, 0], [0.2, 0.23, 0.28, 1], 'robot'),
    shape('fore', 'capsule', [0.035, 0.17, 0], [0.86, 0.88, 0.91, 1], 'robot'),
    shape('post', 'cylinder', [0.035, 0.125, 0], [0.45, 0.48, 0.55, 1], 'scene'),
    shape('block', 'box', [0.04, 0.04, 0.04], [0.2, 0.55, 0.83, 1], 'object'),
    shape('goal', 'cylinder', [0.05, 0.004, 0], [0.2, 0.83, 0.6, 0.5], 'goal'),
  ],
  goal_dim: 2,
  menu: {
    samplers: ['dpmpp_2m', 'ddim', 'euler'],
    precisions: ['f32', 'bf16', 'int8'],
    max_steps: 20,
    max_candidates: 32,
    drivers: ['diffusion', 'world model'],
  },
  tasks: ['fake_arm', 'fake_arm_two'],
};

function shape(
  name: string,
  kind: string,
  size: Vector3,
  rgba: readonly [number, number, number, number],
  role: string,
): LiveScene['shapes'][number] {
  return { name, kind, size, rgba, role };
}

export class FakeSource implements LiveSource {
  readonly intents: OperatorIntent[] = [];
  state: ControlState = 'RUNNING';
  cause = 'the policy drives, 3 steps of dpmpp_2m';
  goal: number[] = [0.45, 0.25];
  /** Goes at once where it is sent. */
  hand: readonly number[] = [0.4, 0, 0.3];
  /** Sends nothing while true, as a controller that hangs. */
  silent = false;
  choice: SamplerChoice = {
    sampler: 'dpmpp_2m',
    steps: 3,
    candidates: 12,
    precision: 'f32',
    guidance_scale: 1,
  };
  private task = 'fake_arm';
  private driver = 'diffusion';
  private paused = false;
  private ticks = 0;
  private misses = 0;
  private readonly listeners = new Set<(frame: LiveFrame) => void>();
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly block: Vector3 = [0.5, -0.2, 0.04]) {
    this.timer = setInterval(() => this.tick(), 50);
  }

  close(): void {
    clearInterval(this.timer);
  }

  scene(): LiveScene {
    return { ...ARM, task: this.task };
  }

  subscribe(listener: (frame: LiveFrame) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  request(intent: OperatorIntent): { accepted: boolean; reason: string } {
    this.intents.push(intent);
    const become = (state: ControlState, cause: string) => {
      this.state = state;
      this.cause = cause;
    };
    if (intent.kind === 'resume' && this.state === 'STOPPED')
      return { accepted: false, reason: 'STOPPED is latched; only reset leaves it' };
    if (intent.kind === 'hold') become('HOLD', 'the operator asked to hold');
    if (intent.kind === 'stop') become('STOPPED', 'the operator stopped the robot; reset to leave');
    if (intent.kind === 'resume' || intent.kind === 'reset') become('RUNNING', 'the policy drives');
    if (intent.kind === 'teleop' && intent.repeat === true && this.state !== 'TELEOP')
      return { accepted: false, reason: `nobody drives any more: ${this.state}` };
    if (intent.kind === 'teleop' && intent.point !== undefined) this.hand = intent.point;
    if (intent.kind === 'teleop') become(intent.engaged ? 'TELEOP' : 'HOLD', 'a person drives');
    if (intent.kind === 'pause') this.paused = intent.paused;
    if (intent.kind === 'goal') this.goal = [...intent.goal];
    if (intent.kind === 'choose') this.choice = { ...this.choice, ...intent.choice };
    if (intent.kind === 'driver') this.driver = intent.driver;
    if (intent.kind === 'task') {
      this.task = intent.task;
      this.send(this.scene());
    }
    return { accepted: true, reason: '' };
  }

  send(frame: LiveFrame): void {
    if (!this.silent) for (const listener of this.listeners) listener(frame);
  }

  private tick(): void {
    const t = this.ticks / 20;
    this.ticks++;
    if (this.ticks % 97 === 0) this.misses++;
    this.send({ kind: 'poses', stamp_ns: t * 1e9, poses: this.poses(t) });
    if (this.ticks % 2 === 0) this.send(this.status(t));
    if (this.ticks % 8 === 0 && this.state === 'RUNNING') this.send(this.chunk(t));
  }

  private joints(t: number): number[] {
    return [
      0.7 * Math.sin(0.5 * t),
      0.55 + 0.2 * Math.sin(0.8 * t),
      1.2 + 0.3 * Math.cos(0.7 * t),
      Math.sin(t),
    ];
  }

  private poses(t: number): Float32Array {
    const [yaw, shoulder, elbow] = this.joints(t) as [number, number, number, number];
    const point = (r: number, z: number): Vector3 => [r * Math.cos(yaw), r * Math.sin(yaw), z];
    const elbow_at: Vector3 = point(0.36 * Math.sin(shoulder), 0.2 + 0.36 * Math.cos(shoulder));
    const bend = shoulder + elbow;
    const row = ([x, y, z]: Vector3, pitch = 0): number[] => {
      const [c, s, cy, sy] = [Math.cos(pitch / 2), Math.sin(pitch / 2), Math.cos(yaw / 2), Math.sin(yaw / 2)];
      return [x, y, z, cy * c, -sy * s, cy * s, sy * c];
    };
    const still = ([x, y, z]: Vector3): number[] => [x, y, z, 1, 0, 0, 0];
    const r = 0.36 * Math.sin(shoulder);
    return Float32Array.from([
      ...still([0.35, 0, -0.02]),
      ...still([0, 0, 0.05]),
      ...row(point(r / 2, 0.2 + 0.18 * Math.cos(shoulder)), shoulder),
      ...still(elbow_at),
      ...row(point(r + 0.17 * Math.sin(bend), elbow_at[2] + 0.17 * Math.cos(bend)), bend),
      ...still([0.42, 0.02, 0.125]),
      ...still(this.block),
      ...still([this.goal[0]!, this.goal[1]!, 0.004]),
    ]);
  }

  private chunk(t: number): LiveChunk {
    const { candidates: n } = this.choice;
    const horizon = 16;
    const paths = new Float32Array(n * horizon * 3);
    const [x0, y0] = [0.45 + 0.05 * Math.sin(t), 0.4 * Math.sin(0.5 * t)];
    for (let k = 0; k < n; k++) {
      const side = (k % 2 === 0 ? 1 : -1) * (0.05 + (0.12 * k) / n);
      for (let i = 0; i < horizon; i++) {
        const u = i / (horizon - 1);
        const bow = Math.sin(Math.PI * u);
        const at = (k * horizon + i) * 3;
        paths[at] = x0 + u * (this.goal[0]! - x0) + side * bow;
        paths[at + 1] = y0 + u * (this.goal[1]! - y0) + 0.3 * side * bow;
        paths[at + 2] = 0.25 - 0.2 * u + 0.08 * bow;
      }
    }
    const scores = Float32Array.from({ length: n }, (_, k) => Math.cos(2.4 * k) + t / 100);
    const chosen = scores.indexOf(Math.max(...scores));
    return { kind: 'chunk', stamp_ns: t * 1e9, chosen, n_candidates: n, horizon, paths, scores, infer_ms: 6 };
  }

  private status(t: number): LiveStatus {
    const position = this.joints(t);
    const wave = (i: number) => Math.abs(Math.sin(12.9898 * (this.ticks + i)) * 43758.5453) % 1;
    return {
      kind: 'status',
      stamp_ns: t * 1e9,
      state: this.state,
      cause: this.cause,
      paused: this.paused,
      connected: true,
      episode: 4 + Math.floor(t / 4),
      successes: 3 + Math.floor(t / 4) - Math.floor(t / 12),
      episodes_done: 3 + Math.floor(t / 4),
      mode: 'left',
      command: this.joints(t + 0.15),
      position,
      goal: this.goal,
      hand: this.hand,
      infer_ms: this.ticks % 8 === 0 ? [5 + 3 * wave(1) + (wave(2) > 0.95 ? 6 : 0)] : [],
      late_us: [20 + 60 * wave(3), 30 + 90 * wave(4), 25 + 400 * wave(5) ** 8],
      ticks: this.ticks * 3,
      deadline_misses: this.misses,
      interventions: 2,
      drops: 0,
      choice: this.choice,
      driver: this.driver,
    };
  }
}
