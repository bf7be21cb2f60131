// Demonstrations of the maze task: node models/train/maze-data.mjs FILE.safetensors [EPISODES]. The expert drives to places a few
// cells away, disturbed, and now and then driven into a wall by somebody else; what is recorded is the state and what the expert wanted. No demonstration leads to a far goal.
// `state` (n, 6), `action` (n, 2), `begin` (episodes): where each episode begins among the n rows; its last row has no action.

import { near } from '../../dist/sim/maze.js';
import { corridor, FREE, stepsTo } from '../../dist/sim/maze-map.js';
import { Random } from '../../dist/sim/random.js';
import { findTask } from '../../dist/sim/tasks.js';
import { writeSafetensors } from '../../dist/weights/index.js';

const [file, count = '3000'] = process.argv.slice(2);
const FIRST_SEED = 100_000;
const MOST_CELLS = 4;
const MOST_STEPS = 60;
const NOISE = [0.25, 0.35];

const task = findTask('maze');
const env = await task.create();
const states = [];
const actions = [];
const begin = [];
let reached = 0;
for (let episode = 0; episode < Number(count); episode++) {
  const random = new Random(FIRST_SEED + episode);
  const expert = task.expert(FIRST_SEED + episode);
  const start = random.pick(FREE);
  const steps = stepsTo(start);
  env.reset(FIRST_SEED + episode);
  env.begin(near(start, random), random.uniform(-Math.PI, Math.PI));
  env.setGoal(near(random.pick(FREE.filter((cell) => steps[cell] > 0 && steps[cell] <= MOST_CELLS)), random));
  begin.push(actions.length / 2);
  let burst = 1;
  let astray = 0;
  let other = [0, 0];
  for (let step = 0; ; step++) {
    states.push(...env.observe()['observation.state']);
    const wanted = expert.act(env);
    const over = env.success() || step === MOST_STEPS;
    actions.push(...(over ? [0, 0] : wanted));
    if (over) break;
    if (step % 5 === 0) burst = random.next() < 0.2 ? 2.5 : 1;
    if (astray > 0) astray--;
    else if (random.next() < 0.05) {
      astray = 4;
      other = [random.uniform(-0.3, 1), random.uniform(-1, 1)];
    }
    env.advance(
      astray > 0 ? other : wanted.map((v, j) => v + burst * NOISE[j] * random.normal()),
      1 / task.spec.rate_hz,
    );
  }
  reached += env.success() ? 1 : 0;
}
writeSafetensors(file, {
  state: { shape: [states.length / 6, 6], values: Float32Array.from(states) },
  action: { shape: [actions.length / 2, 2], values: Float32Array.from(actions) },
  begin: { shape: [begin.length], values: Float32Array.from(begin) },
});
console.log(
  `${begin.length} episodes, ${states.length / 6} states, longest way ${Math.max(...FREE.map((a) => Math.max(...FREE.map((b) => corridor(a, b).length - 1))))} cells; the expert reached its goal in ${reached}`,
);
