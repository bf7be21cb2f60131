// The simulation's end of training: hosts many instances of one task for models/train/train.py. Reads one JSON line
// per request on stdin, followed by `bytes` of float32; answers alike on stdout. Labels are chunks: what the expert
// would do from a state, found by letting it drive a copy of that state.

import { loadPolicy } from '../../dist/policies/index.js';
import { Random } from '../../dist/sim/random.js';
import { findTask } from '../../dist/sim/tasks.js';

const task = findTask(process.argv[2]);
const { spec } = task;
const keys = Object.keys(spec.observation_dims);
const dt = 1 / spec.rate_hz;
const joints = spec.joint_names.length;
const instances = [];
let live = [];

async function instance(i) {
  while (instances.length <= i) instances.push(await task.create());
  return instances[i];
}

function features(env) {
  const observation = env.observe();
  return keys.flatMap((key) => [...observation[key]]);
}

/** Absolute targets of the expert over `horizon` periods from here, relative to the position here; state untouched. */
function label(env, expert, horizon) {
  const saved = env.save();
  const origin = env.jointPosition();
  const rows = [];
  for (let i = 0; i < horizon; i++) {
    const target = expert.act(env);
    for (let j = 0; j < joints; j++) rows.push(target[j] - origin[j]);
    env.advance(target, dt);
  }
  env.restore(saved);
  return rows;
}

/** Moves on after the block was put down, for a model that is to know what comes then. */
const AFTERWARDS = 15;

/** One transition: features, action (target less position), features after, reward; steps `env`. */
function transition(env, target) {
  const before = features(env);
  const position = env.jointPosition();
  env.advance(target, dt);
  return [...before, ...position.map((q, j) => target[j] - q), ...features(env), task.model.reward(env)];
}

/** Within what a planned action can come to once the joints are elsewhere than foreseen, all that a model has to know. */
function within(target, position) {
  return position.map((q, j) => {
    const limit = 1.3 * task.model.reach[j];
    return q + Math.max(-limit, Math.min(limit, target[j] - q));
  });
}

const handlers = {
  async spec() {
    return [
      {
        rate_hz: spec.rate_hz,
        max_steps: spec.max_steps,
        joints,
        observation_dims: spec.observation_dims,
        modes: spec.modes,
        model: task.model && {
          reach: task.model.reach,
          travel: task.model.travel,
          horizon: task.model.horizon,
        },
      },
      [],
    ];
  },

  // Expert episodes with noise on what is executed; every `stride` steps the state and its clean chunk are kept.
  async collect({ seeds, horizon, stride, noise }) {
    const out = [];
    let successes = 0;
    const env = await instance(0);
    for (const seed of seeds) {
      env.reset(seed);
      const random = new Random(seed ^ 0x5bd1e995);
      const expert = task.expert(seed, random.pick(spec.modes));
      let burst = 1;
      for (let step = 0; step < spec.max_steps && !env.success() && !env.failed(); step++) {
        if (step % 10 === 0) burst = random.next() < 0.3 ? 3 : 1;
        if (step % stride === seed % stride) out.push(...features(env), ...label(env, expert, horizon));
        const target = expert.act(env);
        env.advance(
          target.map((t, j) => t + noise[j % noise.length] * burst * random.normal()),
          dt,
        );
      }
      successes += env.success() ? 1 : 0;
    }
    return [{ successes, episodes: seeds.length }, out];
  },

  // The expert with noise that lasts, now and then nobody but the noise; each seed its own mixture.
  async explore({ seeds }) {
    const out = [];
    const env = await instance(0);
    for (const seed of seeds) {
      env.reset(seed);
      const random = new Random(seed ^ 0x1f123bb5);
      const expert = task.expert(seed, random.pick(spec.modes));
      const lost = random.next() < 0.1;
      // Whither the expert carries: now and then beside the goal, so that it is learnt what that earns.
      const goal = env.goal();
      const astray = random.next() < 0.4 ? random.pick([0.02, 0.05, 0.1]) : 0;
      const aim = goal.map((x) => x + astray * random.normal());
      const width = random.pick([0.1, 0.3, 0.8]);
      const noise = new Float64Array(joints);
      let bursting = 0;
      let left = AFTERWARDS;
      for (let step = 0; step < spec.max_steps && left > 0 && !env.failed(); step++) {
        if (random.next() < 0.05) bursting = 8;
        const alone = lost || bursting-- > 0;
        for (let j = 0; j < joints; j++)
          noise[j] = 0.7 * noise[j] + 0.71 * (alone ? 0.8 : width) * task.model.reach[j] * random.normal();
        const position = env.jointPosition();
        env.setGoal(aim);
        const wanted = alone ? position : expert.act(env);
        env.setGoal(goal);
        out.push(
          ...transition(
            env,
            within(
              wanted.map((t, j) => t + noise[j]),
              position,
            ),
          ),
        );
        if (env.success()) left--;
      }
    }
    return [{}, out];
  },

  // The learned model's planner drives, with a little noise; `noise` 0 measures it.
  async plan({ dir, seeds, noise, execute }) {
    const policy = await loadPolicy(dir, { compute: { threads: 1 } });
    const out = [];
    const lengths = [];
    let successes = 0;
    const env = await instance(0);
    for (const seed of seeds) {
      env.reset(seed);
      policy.reset(seed);
      const random = new Random(seed ^ 0x2c1b3c6d);
      let step = 0;
      let left = noise > 0 ? AFTERWARDS : 1;
      while (step < spec.max_steps && left > 0 && !env.failed()) {
        const { actions } = await policy.infer({ stamp_ns: step, values: env.observe() });
        for (let row = 0; row < execute && left > 0 && !env.failed(); row++, step++) {
          const target = actions.slice(row * joints, (row + 1) * joints);
          const moved = Array.from(target, (t, j) => t + noise * task.model.reach[j] * random.normal());
          out.push(...transition(env, within(moved, env.jointPosition())));
          if (env.success()) left--;
        }
      }
      successes += env.success() ? 1 : 0;
      lengths.push(step);
    }
    policy.close();
    return [{ successes, lengths }, out];
  },

  // Starts one episode per seed for the learner; answers their observations and positions.
  async reset({ seeds }) {
    live = [];
    const out = [];
    for (let i = 0; i < seeds.length; i++) {
      const env = await instance(i + 1);
      env.reset(seeds[i]);
      live.push({ env, seed: seeds[i], steps: 0, done: false, expert: undefined });
      out.push(...features(env), ...env.jointPosition());
    }
    return [{}, out];
  },

  // Executes the learner's absolute targets (episodes, count, joints), then observes and, on request, labels.
  async advance({ count, horizon, labels }, payload) {
    const out = [];
    const status = [];
    live.forEach((episode, e) => {
      const { env } = episode;
      for (let i = 0; i < count && !episode.done; i++) {
        env.advance(payload.subarray((e * count + i) * joints, (e * count + i + 1) * joints), dt);
        episode.steps++;
        episode.done = env.success() || env.failed() || episode.steps >= spec.max_steps;
      }
      out.push(...features(env), ...env.jointPosition());
      if (labels) {
        const chunk = episode.done
          ? new Array(horizon * joints).fill(0)
          : label(env, task.expert(episode.seed), horizon);
        out.push(...chunk);
      }
      status.push([episode.done ? 1 : 0, env.success() ? 1 : 0, episode.steps, env.mode() ?? '']);
    });
    return [{ status }, out];
  },
};

let pending = Buffer.alloc(0);
let header;
async function drain() {
  for (;;) {
    if (header === undefined) {
      const end = pending.indexOf(10);
      if (end < 0) return;
      header = JSON.parse(pending.subarray(0, end).toString());
      pending = pending.subarray(end + 1);
    }
    const bytes = header.bytes ?? 0;
    if (pending.length < bytes) return;
    const payload = new Float32Array(pending.buffer.slice(pending.byteOffset, pending.byteOffset + bytes));
    pending = pending.subarray(bytes);
    const request = header;
    header = undefined;
    const [reply, numbers] = await handlers[request.command](request, payload);
    const body = Buffer.from(Float32Array.from(numbers).buffer);
    process.stdout.write(`${JSON.stringify({ ...reply, bytes: body.length })}\n`);
    process.stdout.write(body);
  }
}
let turn = Promise.resolve();
process.stdin.on('data', (data) => {
  pending = Buffer.concat([pending, data]);
  turn = turn.then(drain);
});
process.stdin.on('end', () => process.exit(0));
