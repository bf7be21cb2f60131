// A policy alone: one observation in, one chunk of actions out. `node examples/policy.mjs [FOLDER]`
import { loadPolicy } from 'tendon';

const policy = await loadPolicy(process.argv[2] ?? 'models/arm', { sampling: { steps: 3 } });
const { spec } = policy;

// Zeros of the right lengths; on a robot these are its joints, its cameras, its goal.
const values = Object.fromEntries(
  Object.entries(spec.observation_dims).map(([key, length]) => [key, new Float32Array(length)]),
);
policy.reset(7);
const chunk = await policy.infer({ stamp_ns: 0, values });
console.log(`${spec.family}: ${chunk.horizon} actions of ${chunk.action_dim} numbers`);
console.log(
  `the first: ${[...chunk.actions.subarray(0, chunk.action_dim)].map((a) => a.toFixed(3)).join(' ')}`,
);
policy.close();
