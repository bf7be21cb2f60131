// What each room may import: the tables of the design, as data. A room always may import itself.

/** native/ (C++): an include names its room. */
export const NATIVE_ROOMS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  ops: ['base'],
  // The search over action sequences: what a planner is, and its steps.
  search: ['base'],
  kernels: ['base', 'ops', 'search'],
  graph: ['base', 'ops'],
  compile: ['base', 'ops', 'graph', 'kernels'],
  // What programs run on: one contract, which the CPU and a CUDA device keep.
  backend: ['base', 'ops', 'search', 'kernels', 'compile'],
  measure: ['base', 'kernels'],
  sample: ['base', 'ops', 'compile', 'backend'],
  plan: ['base', 'ops', 'search', 'compile', 'backend'],
  // Threads that are on time: clocks, queues that nobody waits for, memory that stays.
  realtime: ['base'],
  // Commands for a robot: the limits, and the thread that applies them.
  drive: ['base', 'realtime'],
  session: ['base', 'ops', 'search', 'graph', 'kernels', 'compile', 'backend', 'sample', 'plan'],
  // Beside the session: the random numbers, the op names and the name of the instruction set that it exposes.
  // The executor stands beside the session: it runs no network.
  addon: ['base', 'session', 'ops', 'graph', 'kernels', 'measure', 'realtime', 'drive'],
  test: [
    'base',
    'ops',
    'search',
    'graph',
    'kernels',
    'compile',
    'backend',
    'measure',
    'sample',
    'plan',
    'realtime',
    'drive',
    'session',
  ],
  bench: [
    'base',
    'ops',
    'search',
    'graph',
    'kernels',
    'compile',
    'backend',
    'measure',
    'sample',
    'plan',
    'realtime',
    'drive',
    'session',
    'test',
  ],
};

/** src/ (TypeScript). */
export const SOURCE_ROOMS: Readonly<Record<string, readonly string[]>> = {
  types: [],
  // What everything may use and what knows nothing.
  base: ['types'],
  native: ['types'],
  // TensorRef, the reference to a tensor in a file, is the noun between the two.
  weights: ['types', 'base', 'native'],
  samplers: ['types'],
  // Checkpoints by their name on the Hub; what loads them knows folders alone.
  hub: ['types', 'base'],
  // What judges, chooses, guards, watches and remembers beside a policy, behind a port for each kind; steering wires it.
  parts: ['types'],
  // Blocks that families share: they ask for tensors by name and know no checkpoint.
  networks: ['types', 'native', 'weights'],
  // A file of nodes as a graph of the core.
  onnx: ['types', 'native', 'weights'],
  policies: ['types', 'base', 'hub', 'native', 'weights', 'samplers', 'networks', 'onnx'],
  // A policy with the parts of its manifest around it.
  steering: ['types', 'base', 'native', 'weights', 'networks', 'onnx', 'policies', 'parts', 'record'],
  // The robot as a file describes it: its schema, its URDF, its units.
  robot: ['types', 'base'],
  // Where commands leave; control calls it, and nothing else does.
  sinks: ['types'],
  // The limits and the interpolation are the core's: the executor and this loop apply one law.
  control: ['types', 'base', 'native', 'policies', 'parts', 'sinks'],
  // Listening, and who may come in.
  net: ['types', 'base'],
  rosbridge: ['types', 'base', 'net'],
  sim: ['types', 'rosbridge'],
  teleop: ['types', 'policies', 'control'],
  record: ['types', 'base', 'policies', 'control', 'robot', 'sinks'],
  // It counts what the control loop and the bridge publish, and nobody waits for it.
  metrics: ['types', 'control', 'net'],
  // Closed-loop evaluation drives the simulated tasks.
  eval: ['types', 'policies', 'control', 'sim', 'steering'],
  // What LeRobot's clients send is pickled: it is read as checkpoints' pickles are, and never run.
  serve: ['types', 'weights', 'policies', 'control', 'net'],
  web: ['types', 'net'],
  // What the machine offers a controller: priority, a service manager, a log, a watch over its stalls.
  host: ['types', 'base', 'native', 'control', 'sinks'],
  // What a checkpoint is and does, as data: for people, programs and the command line.
  inspect: ['types', 'native', 'policies', 'host'],
  // Everything wired together; a command and a program open the same session.
  session: [
    'types',
    'native',
    'policies',
    'robot',
    'base',
    'net',
    'control',
    'sinks',
    'rosbridge',
    'sim',
    'record',
    'metrics',
    'eval',
    'web',
    'host',
    'steering',
    'parts',
  ],
  cli: [
    'types',
    'base',
    'hub',
    'native',
    'weights',
    'samplers',
    'networks',
    'policies',
    'robot',
    'control',
    'sinks',
    'rosbridge',
    'sim',
    'teleop',
    'record',
    'metrics',
    'eval',
    'serve',
    'web',
    'net',
    'host',
    'session',
    'inspect',
    'parts',
    'steering',
  ],
};

/** What a room must do without, beside other rooms: packages and Node's own modules. */
export const WITHOUT: Readonly<Record<string, RegExp>> = {
  // Control is handed values: it reads no file and knows no format.
  control: /^(zod|yaml|(node:)?fs|(node:)?fs\/promises)$/,
  types: /^(zod|yaml|(node:)?fs|(node:)?fs\/promises)$/,
};

/** Rooms with folders inside: a folder may import itself and the folders in its row. */
export const INNER_ROOMS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  // A socket's bytes become ops in codec; client and server act on them; robot reads what the messages say.
  rosbridge: { codec: [], client: ['codec'], server: ['codec'], robot: ['codec', 'client'] },
};
