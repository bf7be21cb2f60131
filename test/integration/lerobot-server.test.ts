// A policy behind LeRobot's asynchronous inference, over a real gRPC connection: what the client sends was recorded from LeRobot's own
// classes (test/golden/make/lerobot_async.py); the same script, run by hand as `talk`, is the real client.

import { readFileSync } from 'node:fs';
import { credentials, Metadata, makeGenericClientConstructor, type ServiceError } from '@grpc/grpc-js';
import { beforeAll, expect, test } from 'vitest';
import { type LoadedPolicy, loadPolicy } from '../../src/policies/index.js';
import { type LerobotServerOptions, serveLerobot } from '../../src/serve/index.js';
import { decodeData, decodePiece, encodePiece, TRANSFER } from '../../src/serve/lerobot/messages.js';
import type { ActionChunk, Policy } from '../../src/types/index.js';
import { isOpaque, memorySource, readPickle } from '../../src/weights/index.js';
import { golden } from '../golden/golden.js';
import { recorded, taskOf } from '../golden/vla-folder.js';
import { closedAfterEach } from './support.js';

const closers = closedAfterEach();
const io = golden('smolvla_tiny');

const messages = (name: string): Buffer[] =>
  (
    JSON.parse(
      readFileSync(new URL(`../golden/lerobot_async/${name}.json`, import.meta.url), 'utf8'),
    ) as string[]
  ).map((text) => Buffer.from(text, 'base64'));

let policy: LoadedPolicy;
beforeAll(async () => {
  policy = await loadPolicy(io.dir, { precision: 'f32', threads: 1 });
});

const asIs = (bytes: Buffer): Buffer => bytes;
const Robot = makeGenericClientConstructor(
  Object.fromEntries(
    ['Ready', 'SendPolicyInstructions', 'SendObservations', 'GetActions'].map((name) => [
      name,
      {
        path: `/transport.AsyncInference/${name}`,
        requestStream: name === 'SendObservations',
        responseStream: false,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    ]),
  ),
  'AsyncInference',
);

/** A client as LeRobot's: one connection, calls by name. */
function robot(address: string, token?: string) {
  // A connection of its own for each, as every process has.
  const client = new Robot(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  closers.push(() => client.close());
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  type Done = (error: ServiceError | null, data: Buffer) => void;
  const calls = client as unknown as Record<
    string,
    (...given: unknown[]) => { write(b: Buffer): void; end(): void }
  >;
  const settle =
    (resolve: (data: Buffer) => void, reject: (error: Error) => void): Done =>
    (error, data) =>
      error === null ? resolve(data) : reject(error);
  return {
    call: (name: string, data: Buffer = Buffer.alloc(0)) =>
      new Promise<Buffer>((resolve, reject) => {
        calls[name]!.call(client, data, metadata, settle(resolve, reject));
      }),
    show: (pieces: readonly Buffer[]) =>
      new Promise<Buffer>((resolve, reject) => {
        const stream = calls.SendObservations!.call(client, metadata, settle(resolve, reject));
        for (const piece of pieces) stream.write(piece);
        stream.end();
      }),
  };
}

async function served(options: Partial<LerobotServerOptions> = {}) {
  const server = await serveLerobot({ policy, port: 0, seed: 5, wait_ms: 100, ...options });
  closers.push(() => server.close());
  return server.address;
}

/** list[TimedAction] as the client unpickles it. */
function actionsOf(answer: Buffer) {
  const pickle = decodeData(answer);
  const list = readPickle(memorySource('answer', pickle), pickle, /TimedAction$|^torch\.tensor$/);
  return (list as unknown[]).map((item) => {
    const record = item as Parameters<typeof isOpaque>[0];
    if (!isOpaque(record) || !(record.state instanceof Map)) throw new Error('no TimedAction');
    const action = record.state.get('action');
    if (!isOpaque(action) || action.name !== 'torch.tensor') throw new Error('no tensor');
    return {
      name: record.name,
      timestamp: record.state.get('timestamp'),
      timestep: record.state.get('timestep'),
      action: (action.args as number[][])[0]!,
    };
  });
}

test.each(['observation', 'observation5'])('%s: the chunk is the one that infer gives', async (name) => {
  const { call, show } = robot(await served({ fps: 20 }));
  await call('Ready');
  await call('SendPolicyInstructions', messages('setup')[0]);
  await show(messages(name));
  const actions = actionsOf(await call('GetActions'));
  policy.reset(5);
  const want = await policy.infer(recorded(io), { task: taskOf(io) });
  expect(actions.length).toBe(7);
  expect(actions[0]).toMatchObject({
    name: 'lerobot.async_inference.helpers.TimedAction',
    timestamp: 1700000000.25,
    timestep: 3,
  });
  expect(actions[6]).toMatchObject({ timestamp: 1700000000.25 + 6 / 20, timestep: 9 });
  expect(actions.flatMap(({ action }) => action)).toEqual([...want.actions.subarray(0, 7 * 6)]);
});

test('without an observation the answer is empty, and what hardly moved is passed over', async () => {
  const { call, show } = robot(await served());
  await call('Ready');
  await call('SendPolicyInstructions', messages('setup')[0]);
  expect((await call('GetActions')).length).toBe(0);
  await show(messages('observation'));
  expect(actionsOf(await call('GetActions')).length).toBe(7);
  // The same once more, which must not go: as LeRobot's server, it waits for news.
  const [first, ...rest] = messages('observation').map(decodePiece);
  const whole = Buffer.concat([first!, ...rest].map(({ data }) => data));
  const at = whole.lastIndexOf('must_go') + 'must_go'.length;
  const may = Buffer.from(whole);
  const flag = may.indexOf(0x88, at);
  expect(flag).toBeLessThan(at + 4);
  may[flag] = 0x89;
  await show([encodePiece({ state: TRANSFER.end, data: may })]);
  expect((await call('GetActions')).length).toBe(0);
});

test('several robots share the policy, each with a state of its own', async () => {
  const asked: unknown[] = [];
  let running = 0;
  const counting: Policy = {
    spec: policy.spec,
    reset: () => undefined,
    close: () => undefined,
    async infer(_, options) {
      expect(++running).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
      asked.push((options as { state?: unknown }).state);
      return {
        ...{ stamp_ns: 0, period_ns: 0, horizon: 10, action_dim: 6, actions: new Float32Array(60) },
        ...{
          n_candidates: 1,
          chosen: 0,
          timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0, calls: 1 },
        },
        state: asked.length as unknown,
      } as ActionChunk;
    },
  };
  const address = await served({ policy: counting });
  const robots = [robot(address), robot(address), robot(address)];
  for (const { call } of robots) {
    await call('Ready');
    await call('SendPolicyInstructions', messages('setup')[0]);
  }
  const round = () =>
    Promise.all(
      robots.map(async ({ call, show }) => {
        await show(messages('observation'));
        return actionsOf(await call('GetActions')).length;
      }),
    );
  expect(await round()).toEqual([7, 7, 7]);
  expect(asked).toEqual([undefined, undefined, undefined]);
  await round();
  expect(asked.slice(3).sort()).toEqual([1, 2, 3]);
});

test('what is wrong is said, and the next call is answered', async () => {
  const { call, show } = robot(await served());
  await expect(call('GetActions')).rejects.toThrow(/has not said Ready/);
  await call('Ready');
  await expect(call('GetActions')).rejects.toThrow(/before SendPolicyInstructions/);
  await expect(call('SendPolicyInstructions', Buffer.from('nonsense'))).rejects.toThrow(/INVALID_ARGUMENT/);
  const other = Buffer.from(messages('setup')[0]!);
  other.write('smolvlb', other.indexOf('smolvla'));
  await expect(call('SendPolicyInstructions', other)).rejects.toThrow(/--policy_type=smolvla/);
  // A pickle that would run something is refused by the name of what it asks for.
  const evil = Buffer.from('cos\nsystem\n(S"true"\ntR.');
  await expect(show([encodePiece({ state: TRANSFER.end, data: evil })])).rejects.toThrow(/os\.system/);
  await call('SendPolicyInstructions', messages('setup')[0]);
  await show(messages('observation'));
  expect(actionsOf(await call('GetActions')).length).toBe(7);
});

test('damaged messages give errors and nothing else', async () => {
  const { call, show } = robot(await served({ wait_ms: 1 }));
  await call('Ready');
  const pieces = messages('observation').map(decodePiece);
  const whole = Buffer.concat(pieces.map(({ data }) => data));
  let seed = 7;
  const next = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  let refused = 0;
  for (let i = 0; i < 200; i++) {
    const damaged = Buffer.from(i % 2 === 0 ? whole : whole.subarray(0, next(whole.length)));
    // Where the structure is: the pictures' bytes may be anything.
    for (let k = 0; k < 3 && damaged.length > 0; k++)
      damaged[next(Math.min(damaged.length, 300))] = next(256);
    const sent = await show([encodePiece({ state: TRANSFER.end, data: damaged })]).then(
      () => true,
      (error: Error) => /INVALID_ARGUMENT|FAILED_PRECONDITION/.test(error.message),
    );
    expect(sent).toBe(true);
    refused++;
  }
  expect(refused).toBe(200);
  await call('SendPolicyInstructions', messages('setup')[0]);
});

test('beyond this machine a token is needed, and asked for', async () => {
  await expect(serveLerobot({ policy, port: 0, host: '0.0.0.0' })).rejects.toThrow(
    /without a token.*tunnel/s,
  );
  const address = await served({ token: 'secret' });
  await expect(robot(address).call('Ready')).rejects.toThrow(/token/);
  await expect(robot(address, 'secret').call('Ready')).resolves.toBeDefined();
});
