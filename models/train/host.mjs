// The simulation's end of training: hosts many instances of one task for models/train/train.py. Reads one JSON line
// per request on stdin, followed by `bytes` of float32; answers alike on stdout. Labels are chunks: what the expert
// would do from a state, found by letting it drive a copy of that state.

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

const handlers = {
  async spec() {
    return [
      {
        rate_hz: spec.rate_hz,
        max_steps: spec.max_steps,
        joints,
        observation_dims: spec.observation_dims,
        modes: spec.modes,
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
