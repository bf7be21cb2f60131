// The addon through its door: what it computes, what it says to wrong calls, and what happens to work that is
// in flight when its thread or its process ends.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import {
  addon,
  BINARY_NAMES,
  GraphBuilder,
  native,
  numbersOf,
  type PlannerTable,
  REDUCE_NAMES,
  type TreeTable,
  UNARY_NAMES,
} from '../../src/native/index.js';
import { encodeRows, makeTable, row } from '../../src/samplers/table.js';
import { TendonError } from '../../src/types/index.js';

const folder = mkdtempSync(join(tmpdir(), 'tendon-addon-'));
afterAll(() => rmSync(folder, { recursive: true }));
const lib = addon();
const pool = new lib.Pool({ threads: 2 });

/** F = W·x + σ·v with W the identity, in a file behind one other number: x (1, 2, 3) is the step's, σ the schedule's, v the observation. */
function smallGraph(): GraphBuilder {
  const file = join(folder, 'w.bin');
  writeFileSync(file, new Uint8Array(Float32Array.of(-5, 1, 0, 0, 0, 1, 0, 0, 0, 1).buffer));
  const g = new GraphBuilder();
  const x = g.input('x', [1, 2, 3], 'step');
  const sigma = g.input('sigma', [1, 1, 1], 'schedule');
  const v = g.input('v', [1, 2, 3], 'observation');
  const w = g.weight({ name: 'w', shape: [3, 3], dtype: 'F32', file, offset: 4 });
  g.output('f', g.add(g.linear(x, w), g.mul(v, sigma)));
  return g;
}

async function smallSession(batch = 1) {
  const model = await lib.compileModel(smallGraph().native, { pool });
  return model.openSession({ batch });
}

/** Sampler rows that set x' = w_f·F. */
function rows(...w_f: number[]): Float32Array {
  const names = lib.samplerFields();
  const values = new Float32Array(names.length * w_f.length);
  w_f.forEach((w, i) => {
    values[i * names.length + names.indexOf('c_in')] = 1;
    values[i * names.length + names.indexOf('w_f')] = w;
  });
  return values;
}

const x = Float32Array.of(1, 2, 3, 4, 5, 6);
const v = Float32Array.of(1, 1, 1, 1, 1, 10);

test('runs a network once', async () => {
  const session = await smallSession();
  expect(session.inputs.map((p) => `${p.name} ${p.shape} ${p.stage}`).sort()).toEqual([
    'sigma 1,1,1 schedule',
    'v 1,2,3 observation',
    'x 1,2,3 step',
  ]);
  const result = await session.run({ x, v, sigma: Float32Array.of(2) });
  expect(result.status).toBe('ok');
  expect([...result.outputs.f!]).toEqual([3, 4, 5, 6, 7, 26]);
});

test('denoises with a table, in the order of the calls, with arguments copied', async () => {
  const session = await smallSession();
  const one = session.setTable(rows(1), { sigma: Float32Array.of(0) });
  const start = Float32Array.from(x);
  const first = session.denoise({ inputs: { v }, start });
  start.fill(0);
  // Queued behind the first: must not change what it sees.
  const two = session.setTable(rows(1, 2), { sigma: Float32Array.of(0, 1) });
  const second = session.denoise({ inputs: { v }, start: x });
  await Promise.all([one, two]);
  const a = await first;
  expect([...a.x]).toEqual([...x]);
  expect(a.calls).toBe(1);
  const b = await second;
  expect([...b.x]).toEqual([...x].map((value, i) => 2 * (value + v[i]!)));
  expect(b.calls).toBe(2);
});

test('the ports, the plan and its text can be read while a call is inside', async () => {
  const session = await smallSession(4);
  const busy = Array.from({ length: 20 }, (_, i) =>
    session.setTable(rows(...Array(1 + (i % 7)).fill(1)), { sigma: new Float32Array(1 + (i % 7)) }),
  );
  let text = '';
  for (let i = 0; i < 200; i++) {
    text = session.print() + session.stages().length + session.inputs.length + session.arena_bytes;
    await new Promise(setImmediate);
  }
  await Promise.all(busy);
  expect(text.length).toBeGreaterThan(10);
});

test('a cancelled token stops before the first step; NaN is a status', async () => {
  const session = await smallSession();
  await session.setTable(rows(1, 1), { sigma: new Float32Array(2) });
  const cancel = new lib.CancelToken();
  cancel.cancel();
  const stopped = await session.denoise({ inputs: { v }, start: x, cancel });
  expect([stopped.status, stopped.calls]).toEqual(['cancelled', 0]);
  const bad = await session.denoise({ inputs: { v }, start: Float32Array.from(x).fill(Number.NaN) });
  expect(bad.status).toBe('not_finite');
});

test('noise that the core draws is what the caller would have drawn', async () => {
  const session = await smallSession();
  await session.setTable(rows(1, 2), { sigma: new Float32Array(2) });
  const draws = { seed: 7, stream: 3, first: 5, count: x.length, scale: 1.7 };
  const drawn = await session.denoise({ inputs: { v }, start: draws });
  const given = await session.denoise({ inputs: { v }, start: numbersOf(draws) });
  expect(drawn.x).toEqual(given.x);
  expect(new Set(drawn.x).size).toBe(x.length);
  for (const [wrong, said] of [
    [{ ...draws, count: x.length + 1 }, /start: expected 6 values, got 7/],
    [{ ...draws, seed: -1 }, /seed/],
    [{ ...draws, first: 0.5 }, /first/],
    [{ ...draws, scale: Number.NaN }, /scale: expected a finite number/],
  ] as const)
    await expect((async () => session.denoise({ inputs: { v }, start: wrong }))()).rejects.toThrow(said);
});

test('philox takes numbers and bigints and splits anywhere', () => {
  const whole = lib.philoxNormal(7, 3, 0, 64);
  const mean = whole.reduce((sum, value) => sum + value, 0) / 64;
  expect(Math.abs(mean)).toBeLessThan(0.5);
  expect(whole.slice(13)).toEqual(lib.philoxNormal(7, 3, 13, 51));
  const big = lib.philoxNormal as (...args: unknown[]) => Float32Array;
  expect(big(7n, 3n, 0, 64)).toEqual(whole);
  expect(big(2n ** 64n - 1n, 3, 0, 4)).not.toEqual(big(2n ** 64n - 2n, 3, 0, 4));
});

/** Any call, typed as nothing. */
// biome-ignore lint/suspicious/noExplicitAny: wrong calls are the point
const wild = lib as any;
const forged = (prototype: object) => Object.setPrototypeOf(new lib.CancelToken(), prototype);
const throwing = Object.defineProperty({}, 'shape', {
  get() {
    throw new Error('getter');
  },
  enumerable: true,
});

const wrong: [string, () => unknown][] = [
  ['Graph without new', () => wild.Graph()],
  ['Model by hand', () => new wild.Model()],
  ['Model from an object', () => new wild.Model({})],
  ['Session by hand', () => new wild.Session(1)],
  ['method of a stranger', () => wild.Graph.prototype.input.call({}, 'x', [1, 2], 'step')],
  ['method of another class', () => wild.Graph.prototype.print.call(new wild.Pool({ threads: 1 }))],
  ['method without an instance', () => wild.Graph.prototype.print.call(undefined)],
  ['input without arguments', () => new wild.Graph().input()],
  ['input with a bad stage', () => new wild.Graph().input('x', [1, 2], 'model')],
  ['input with a fractional dim', () => new wild.Graph().input('x', [1, 2.5], 'step')],
  ['input with six dims', () => new wild.Graph().input('x', [1, 1, 1, 1, 1, 1], 'step')],
  ['input with a huge shape', () => new wild.Graph().input('x', [1, 2 ** 36, 2 ** 36], 'step')],
  ['input with a symbol', () => new wild.Graph().input(Symbol('x'), [1, 2], 'step')],
  ['weight from a missing file', () => new wild.Graph().weight('w', [1], 'F32', join(folder, 'none'), 0)],
  ['weight from a folder', () => new wild.Graph().weight('w', [1], 'F32', folder, 0)],
  [
    'weight past the end',
    () => new wild.Graph().weight('w', [4], 'F32', fileURLToPath(import.meta.url), 2 ** 40),
  ],
  [
    'weight with a bad dtype',
    () => new wild.Graph().weight('w', [4], 'F64', fileURLToPath(import.meta.url), 0),
  ],
  ['constant of doubles', () => new wild.Graph().constant(new Float64Array(2), [2])],
  ['constant of another length', () => new wild.Graph().constant(new Float32Array(2), [3])],
  ['add of an unknown op', () => new wild.Graph().add('explode', [])],
  ['add of a source', () => new wild.Graph().add('weight', [])],
  ['add with a future value', () => new wild.Graph().add('relu', [0])],
  ['add with a negative value', () => new wild.Graph().add('relu', [-1])],
  ['add with a list of nothing', () => new wild.Graph().add('relu', {})],
  ['reshape without a shape', () => reshape({})],
  ['reshape with a getter that throws', () => reshape(throwing)],
  ['reshape to NaN', () => reshape({ shape: [1, Number.NaN] })],
  ['reshape to six dims', () => reshape({ shape: [1, 1, 1, 1, 1, 6] })],
  ['output of nothing', () => new wild.Graph().output('y', 0)],
  ['Pool of -1', () => new wild.Pool({ threads: -1 })],
  ['Pool of 1e9', () => new wild.Pool({ threads: 1e9 })],
  ['Pool on a core named twice', () => new wild.Pool({ pin: [0, 0] })],
  ['Pool on a core that is not there', () => new wild.Pool({ pin: [1023] })],
  ['Pool on no core', () => new wild.Pool({ pin: [] })],
  ['Pool on half a core', () => new wild.Pool({ pin: [0.5] })],
  ['Pool on a core by name', () => new wild.Pool({ pin: 'all' })],
  ['Pool of two on one core', () => new wild.Pool({ threads: 2, pin: [0] })],
  ['Pool of more threads than cores', () => new wild.Pool({ threads: 256, pin: true })],
  ['Pool before all', () => new wild.Pool({ priority: 'high' })],
  ['Pool of no priority', () => new wild.Pool({ priority: {} })],
  ['Pool of two priorities', () => new wild.Pool({ priority: { nice: 1, round_robin: 1 } })],
  ['Pool of nice 20', () => new wild.Pool({ priority: { nice: 20 } })],
  ['Pool of SCHED_RR 0', () => new wild.Pool({ priority: { round_robin: 0 } })],
  ['compile nothing', () => wild.compileModel()],
  ['compile a forged graph', () => wild.compileModel(forged(wild.Graph.prototype))],
  ['compile a bare prototype', () => wild.compileModel(Object.create(wild.Graph.prototype))],
  [
    'compile with a forged pool',
    () => wild.compileModel(new wild.Graph(), { pool: forged(wild.Pool.prototype) }),
  ],
  ['compile with a bad precision', () => wild.compileModel(new wild.Graph(), { precision: 'f64' })],
  ['compile an empty graph', () => wild.compileModel(new wild.Graph())],
  ['compile for another machine', () => wild.compileModel(smallGraph().native, { isa: 'sse9', pool })],
  ['compile for no device', () => wild.compileModel(smallGraph().native, { device: 'gpu' })],
  ['compile for a number as device', () => wild.compileModel(smallGraph().native, { device: 0 })],
  ['philox with a huge count', () => wild.philoxNormal(0, 0, 0, 1e12)],
  ['philox with a negative bigint', () => wild.philoxNormal(-1n, 0, 0, 1)],
  ['isa of nowhere', () => wild.isa('sse9')],
];

function reshape(attributes: unknown) {
  const g = new wild.Graph();
  return g.add('reshape', [g.input('x', [1, 6], 'step').id], attributes);
}

test.each(wrong)('%s is an error', async (_name, call) => {
  await expect((async () => native(call as () => unknown))()).rejects.toThrow(Error);
});

// biome-ignore lint/suspicious/noExplicitAny: as above
const wrongCalls: [string, (session: any) => unknown][] = [
  ['denoise with nothing', (s) => s.denoise()],
  ['denoise before a table', (s) => s.denoise({ inputs: { v }, start: x })],
  ['denoise with a short start', (s) => s.denoise({ inputs: { v }, start: x.slice(1) })],
  ['denoise without an input', (s) => s.denoise({ inputs: {}, start: x })],
  ['denoise with a forged token', (s) => s.denoise({ inputs: { v }, start: x, cancel: forgedToken() })],
  ['denoise with half a prefix', (s) => s.denoise({ inputs: { v }, start: x, prefix: x })],
  ['run with a stranger', (s) => s.run({ x, v, sigma: x.slice(5), y: x })],
  ['run with doubles', (s) => s.run({ x: new Float64Array(6), v, sigma: x.slice(5) })],
  ['a table of half a row', (s) => s.setTable(new Float32Array(5), {})],
  ['a table without a schedule', (s) => s.setTable(rows(1), {})],
  ['a table with a short schedule', (s) => s.setTable(rows(1, 1), { sigma: new Float32Array(1) })],
];

function forgedToken() {
  return Object.setPrototypeOf(new lib.Pool({ threads: 1 }), lib.CancelToken.prototype);
}

test.each(wrongCalls)('%s is an input error, and the session goes on', async (_name, call) => {
  const session = await smallSession();
  const caught = await (async () => native(() => call(session)))().catch((e: unknown) => e);
  expect(caught).toBeInstanceOf(TendonError);
  expect((caught as TendonError).code).toBe('input_invalid');
  const after = await session.run({ x, v, sigma: Float32Array.of(2) });
  expect(after.status).toBe('ok');
});

/** Runs `body` as a module in a process of its own that has the addon as `lib` and a busy session `s`. */
function inProcess(body: string): Promise<{ code: number | null; signal: string | null; output: string }> {
  const file = join(folder, `child-${Math.random().toString(36).slice(2)}.mjs`);
  const path = fileURLToPath(new URL('../../build/Release/tendon.node', import.meta.url));
  writeFileSync(
    file,
    `import { createRequire } from 'node:module';
     import { Worker, isMainThread, parentPort } from 'node:worker_threads';
     const lib = createRequire(import.meta.url)(${JSON.stringify(path)});
     async function busy(pool = new lib.Pool({ threads: 2 }), calls = 50) {
       const g = new lib.Graph();
       let x = g.input('x', [1, 256], 'step').id;
       const first = x;
       for (let i = 0; i < 8; i++) {
         const w = g.constant(new Float32Array(65536).fill(0.001), [256, 256]).id;
         x = g.add('linear', [x, w]).id;
       }
       g.output('y', x);
       const model = await lib.compileModel(g, { pool });
       const s = await model.openSession({ batch: 64 });
       const row = new Float32Array(lib.samplerFields().length).fill(0);
       row[lib.samplerFields().indexOf('c_in')] = 1;
       row[lib.samplerFields().indexOf('w_f')] = 1;
       const table = new Float32Array(row.length * calls);
       for (let i = 0; i < calls; i++) table.set(row, i * row.length);
       await s.setTable(table, {});
       return () => s.denoise({ inputs: {}, start: new Float32Array(64 * 256) });
     }
     ${body}`,
  );
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('close', (code, signal) => resolve({ code, signal, output }));
  });
}

test('a process may exit with work in flight', async () => {
  const ended = await inProcess(`
    const go = await busy();
    for (let i = 0; i < 8; i++) go();
    console.log('leaving');
    process.exit(7);`);
  expect(ended).toEqual({ code: 7, signal: null, output: 'leaving\n' });
});

test('a worker thread may be ended with work in flight and in line', async () => {
  const ended = await inProcess(`
    if (isMainThread) {
      for (let i = 0; i < 4; i++) {
        const worker = new Worker(new URL(import.meta.url));
        await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
        await worker.terminate();
      }
      console.log('alive', lib.philoxNormal(1, 2, 3, 4).length);
    } else {
      const go = await busy();
      for (let i = 0; i < 8; i++) go();
      parentPort.postMessage('busy');
      setInterval(() => {}, 1000);
    }`);
  expect(ended).toEqual({ code: 0, signal: null, output: 'alive 4\n' });
});

// Each worker is inside one of these calls nearly all the time, and is ended at another moment of it.
const INSIDE: Record<string, string> = {
  compile: `
    const g = () => { const g = new lib.Graph(); const x = g.input('x', [1, 8], 'step').id;
      g.output('y', g.add('relu', [x]).id); return g; };
    for (;;) { lib.compileModel(g(), { pool }); if (Math.random() < 0.05) await new Promise(setImmediate); }`,
  infer: `
    const go = await busy();
    for (;;) { for (let i = 0; i < 20; i++) go(); await new Promise(setImmediate); }`,
  plan: `
    const search = new lib.Search({ horizon: 8, action_dim: 4, samples: 64, iterations: 4, elites: 8 });
    for (;;) { search.begin();
      for (let c; (c = search.propose()) !== undefined; ) search.update(new Float32Array(64)); search.finish(); }`,
  executor: `
    const e = new lib.Executor({ joints: 2, rate_hz: 1000, limits: { lower: [-1, -1], upper: [1, 1], velocity: [1, 1] } });
    e.start(); e.begin(new Float64Array(2));
    const out = new Float64Array(64 * e.row), rows = new Float32Array(8);
    for (;;) { e.feed(e.nowNs(), 1e6, rows); e.beat(); e.drain(out); e.stats(); }`,
  graph: `
    for (;;) { const g = new lib.Graph(); g.input('x', [1, 8], 'step');
      try { g.add('no such op', [0]); } catch {} }`,
};

test.each(Object.keys(INSIDE))('a worker thread may be ended inside a call: %s', async (name) => {
  const ended = await inProcess(`
    const pool = new lib.Pool({ threads: 2 });
    if (isMainThread) {
      for (let i = 0; i < 12; i++) {
        const worker = new Worker(new URL(import.meta.url));
        await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
        await new Promise((resolve) => setTimeout(resolve, i));
        await worker.terminate();
      }
      console.log('alive', lib.philoxNormal(1, 2, 3, 4).length);
    } else {
      parentPort.postMessage('going');
      ${INSIDE[name]}
    }`);
  expect(ended).toEqual({ code: 0, signal: null, output: 'alive 4\n' });
});

test('sessions that wait for their pool hold no thread of libuv', async () => {
  const ended = await inProcess(`
    import { readFile } from 'node:fs/promises';
    // Six sessions of one pool, two calls each; the four threads of libuv would all be waiting for the pool.
    const pool = new lib.Pool({ threads: 1 });
    const sessions = [];
    for (let i = 0; i < 6; i++) sessions.push(await busy(pool, 4));
    const log = [];
    const calls = sessions.flatMap((go) => [go(), go()]).map((call) => call.then(() => log.push('call')));
    await readFile(new URL(import.meta.url)).then(() => log.push('read'));
    await Promise.all(calls);
    console.log(log.length, log.indexOf('read') < 6 ? 'read among the first' : log.join(' '));`);
  expect(ended).toEqual({ code: 0, signal: null, output: '13 read among the first\n' });
});

test('sessions of one pool take turns, and the calls of each keep their order', async () => {
  const model = await lib.compileModel(smallGraph().native, { pool });
  const [a, b] = [await model.openSession({ batch: 1 }), await model.openSession()];
  const sigma = Float32Array.of(2);
  const order: string[] = [];
  const call = (name: string, session: typeof a) => session.run({ x, v, sigma }).then(() => order.push(name));
  await Promise.all([call('a1', a), call('b1', b), call('b2', b), call('a2', a), call('b3', b)]);
  expect(order).toEqual(['a1', 'b1', 'a2', 'b2', 'b3']);
  // A refused call lets the next one go on.
  const refused = a.run({ x }).catch(() => order.push('refused'));
  await Promise.all([refused, call('b4', b)]);
  expect(order.slice(5)).toEqual(['refused', 'b4']);
});

test('frames that claim more than they bring take no memory', async () => {
  const g = new GraphBuilder();
  g.output('y', g.add(g.input('x', [1, 8, 8, 3], 'observation'), g.input('s', [1, 8, 8, 3], 'step')));
  const session = await (await lib.compileModel(g.native, { pool })).openSession();
  const values = new Float32Array(4 * 256);
  const frames = {
    data: Array(64).fill(new Uint8Array(0)),
    height: 16384,
    width: 16384,
    channels: 4,
    values,
  };
  const before = process.memoryUsage().rss;
  expect(() => session.run({ x: frames, s: new Float32Array(192) })).toThrow(
    /Uint8Array of 1073741824 bytes/,
  );
  expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
});

test('arguments that are not what they should be are refused, never taken for something else', () => {
  expect(() => wild.isa(5)).toThrow(/isa: expected a string/);
  expect(() => wild.measureArithmetic(pool, 'f64')).toThrow(/expected f32, bf16 or int8, got f64/);
  expect(lib.threadCount()).toBeGreaterThan(0);
  // A claim to cores is given, or it is said why not.
  expect(new lib.Pool({ threads: 2, priority: { nice: 5 } }).refused).toBe('');
  expect(new lib.Pool({ threads: 2, priority: { round_robin: 1 } }).refused).toMatch(
    /^(|SCHED_RR priority 1 \(.+CAP_SYS_NICE\))$/,
  );
});

test('what a service manager cannot be told is said', () => {
  for (const address of ['', 'vsock:2:1', `/${'x'.repeat(200)}`, 'a'])
    expect(lib.notifyManager(address, 'READY=1')).toMatch(/expected a path/);
  expect(lib.notifyManager('/nowhere/at/all', 'READY=1')).toMatch(/No such file/);
  expect(lib.notifyManager(`@tendon-nobody-${process.pid}`, 'READY=1')).toMatch(/refused/);
});

test('the tables that TypeScript types hold what the core reads, and are read as they say', () => {
  const planner: Required<PlannerTable> = {
    horizon: 2,
    action_dim: 1,
    samples: 4,
    prior: 0,
    keep: 0,
    iterations: 1,
    elites: 2,
    critics: 0,
    drawn: 0,
    initial_std: 1,
    min_std: 0,
    max_std: 2,
    temperature: 0,
    momentum: 0,
    control_cost: 0,
    centre_std: 0.1,
    ask_min: 0,
    ask_mean: 1,
    ask_std: 0,
    fixed_std: false,
    with_replacement: false,
    warm_start: true,
    mix: new Float32Array(4),
    ask: 'mean',
    pick: 'mean',
  };
  const tree: Required<TreeTable> = {
    horizon: 1,
    action_dim: 2,
    actions: 3,
    simulations: 4,
    batch: 1,
    discount: 0.9,
    c1: 1,
    c2: 100,
    spread: 1,
    noise_weight: 0.2,
    temperature: 0,
    untried: 'zero',
  };
  expect(lib.plannerFields().sort()).toEqual(Object.keys(planner).sort());
  expect(lib.treeFields().sort()).toEqual(Object.keys(tree).sort());
  expect(new lib.Search(planner).propose()).toHaveLength(8);
  expect(() => new lib.Search({ ...planner, pick: 'worst' as 'best' })).toThrow(
    /pick: expected one of mean, sampled, best, got worst/,
  );
  expect(() => new wild.Search({ ...planner, warm_start: 1 })).toThrow(/warm_start: expected true or false/);
  expect(() => new lib.Search({ ...planner, horizon: 0 })).toThrow(/horizon/);
  expect(() => new wild.Tree({ ...tree, untried: 'some' })).toThrow(/expected one of zero, mean/);
  expect(() => new wild.Tree(3)).toThrow(/tree: expected an object/);
});

test('the functions that TypeScript names are those of the op table', () => {
  const names = lib.opNames();
  const functions = [...UNARY_NAMES, ...BINARY_NAMES, ...REDUCE_NAMES];
  expect(functions.filter((name) => !names.includes(name))).toEqual([]);
  // What is left are the ops that the builder has a method for.
  const methods = names.filter((name) => !(functions as string[]).includes(name));
  const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
  expect(methods.filter((name) => !(camel(name) in GraphBuilder.prototype))).toEqual([]);
});

test('a model on the emulated CUDA device denoises as on the CPU', async () => {
  const there = await lib.compileModel(smallGraph().native, { device: 'cuda:emulated' });
  expect(there.report().isa).toBe('cuda:emulated');
  const steps = [row({ w_x: 1, w_f: -0.5, c_in: 0.8 }), row({ w_x: 1, w_f: -0.25 })];
  const rows = encodeRows(makeTable(steps, [1, 0.5], 1));
  const results = [];
  for (const model of [there, await lib.compileModel(smallGraph().native, { device: 'cpu', pool })]) {
    const session = await model.openSession({ batch: 1 });
    await session.setTable(rows, { sigma: Float32Array.of(1, 0.5) });
    const start = Float32Array.of(1, 2, 3, 4, 5, 6);
    results.push((await session.denoise({ inputs: { v: Float32Array.of(6, 5, 4, 3, 2, 1) }, start })).x);
  }
  expect(results[0]).toEqual(results[1]);
});

test('a CUDA device that is not there says what to do', async () => {
  await expect(
    native(() => lib.compileModel(smallGraph().native, { device: 'cuda:77' })),
  ).rejects.toMatchObject({
    code: 'native_unavailable',
    message: expect.stringMatching(/cuda:77.*(TENDON_CUDA=on|nvidia-smi)/s),
  });
});
