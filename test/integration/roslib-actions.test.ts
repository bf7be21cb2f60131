// What roslib 2 users do beyond topics and services, on the embedded server: messages and answers in fragments, and actions
// as client and as the one who carries them out.

import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { BridgeClient, RosbridgeServer } from '../../src/rosbridge/index.js';
import { Action, connectRoslib, Topic } from './roslib.js';
import { closedAfterEach, now_ns, until, wait } from './support.js';

const closers = closedAfterEach();

async function start() {
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  return server;
}

async function ros(url: string) {
  const connection = await connectRoslib(url);
  closers.push(() => connection.close());
  return connection;
}

/** A way to the server that keeps what it says; frames of servers are not masked, so that it can be read. */
async function overheard(server: RosbridgeServer) {
  const said: string[] = [];
  const proxy = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    near.pipe(far);
    far.on('data', (data) => {
      said.push(data.toString('latin1'));
      near.write(data);
    });
    for (const socket of [near, far]) {
      socket.on('error', () => socket.destroy());
      socket.on('close', () => [near, far].map((one) => one.destroy()));
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  closers.push(() => proxy.close());
  const { port } = proxy.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}`,
    fragments: () => said.join('').split('"op":"fragment"').length - 1,
  };
}

const LONG = { data: 'joints, Gelenke, 関節, 🦾, "quoted\\" '.repeat(60) };

describe('fragments', () => {
  test('a topic whose subscriber wants small pieces', async () => {
    const server = await start();
    const { url, fragments } = await overheard(server);
    const connection = await ros(url);
    const publish = server.advertise('/long', 'std_msgs/String', true);
    const got: unknown[] = [];
    connection.callOnConnection({ op: 'subscribe', id: 'small', topic: '/long', fragment_size: 300 });
    new Topic({ ros: connection, name: '/long', messageType: 'std_msgs/String' }).subscribe((msg) =>
      got.push(msg),
    );
    publish(LONG);
    await until('the message', () => got.length > 0);
    publish({ data: 'short' });
    expect(got[0]).toEqual(LONG);
    await until('a short one, which is whole', () => (got.at(-1) as { data: string }).data === 'short');
    expect(fragments()).toBeGreaterThan(8);
  });

  test('an answer whose caller wants small pieces', async () => {
    const server = await start();
    const { url, fragments } = await overheard(server);
    const connection = await ros(url);
    server.service('/tell', 'demo/Tell', () => LONG);
    const answer = new Promise((resolve) => connection.on('ask', resolve));
    connection.callOnConnection({
      op: 'call_service',
      id: 'ask',
      service: '/tell',
      args: {},
      fragment_size: 500,
    });
    expect(await answer).toMatchObject({ values: LONG, result: true });
    expect(fragments()).toBeGreaterThan(4);
  });
});

describe('actions', () => {
  const counting = (connection: Awaited<ReturnType<typeof ros>>) =>
    new Action({ ros: connection, name: '/count', actionType: 'demo_msgs/action/Count' });

  /** Counts up to `order`; stops at the next number when it is cancelled, and fails on 13. */
  function offerCount(server: RosbridgeServer) {
    server.action('/count', 'demo_msgs/action/Count', async ({ order }, feedback, signal) => {
      if (order === 13) throw new Error('an unlucky number');
      let at = 0;
      while (at < Number(order) && !signal.aborted) {
        feedback({ at: ++at });
        await wait(2);
      }
      return { counted: at };
    });
  }

  /** What became of a goal, and the feedback up to then. */
  function send(action: ReturnType<typeof counting>, goal: object) {
    const feedback: unknown[] = [];
    let id: string | undefined;
    const ended = new Promise<{ result?: unknown; failed?: string }>((resolve) => {
      id = action.sendGoal(
        goal,
        (result) => resolve({ result }),
        (values) => feedback.push(values),
        (failed) => resolve({ failed }),
      );
    });
    return { ended, feedback, id: id! };
  }

  test('a goal, its feedback in order, its result', async () => {
    const server = await start();
    offerCount(server);
    const { ended, feedback } = send(counting(await ros(server.url)), { order: 3 });
    expect(await ended).toEqual({ result: { counted: 3 } });
    expect(feedback).toEqual([{ at: 1 }, { at: 2 }, { at: 3 }]);
  });

  test('two goals at once are kept apart; one is cancelled', async () => {
    const server = await start();
    offerCount(server);
    const action = counting(await ros(server.url));
    const [endless, short] = [send(action, { order: 1e9 }), send(action, { order: 5 })];
    expect(await short.ended).toEqual({ result: { counted: 5 } });
    await until('it counts', () => endless.feedback.length > 2);
    action.cancelGoal(endless.id);
    // roslib reports everything but success as a failure; 5 is CANCELED.
    const { failed } = await endless.ended;
    expect(failed).toMatch(/counted/);
    expect(failed).toMatch(/canceled/i);
    const { length } = endless.feedback;
    await wait(30);
    expect(endless.feedback).toHaveLength(length);
  });

  test('a goal that fails, and one of an action that nobody offers', async () => {
    const server = await start();
    offerCount(server);
    const connection = await ros(server.url);
    expect((await send(counting(connection), { order: 13 }).ended).failed).toContain('an unlucky number');
    const nobody = new Action({ ros: connection, name: '/nobody', actionType: 'demo_msgs/action/Count' });
    expect((await send(nobody, {}).ended).failed).toContain('not offered');
  });

  test('roslib carries out the goals of our client', async () => {
    const server = await start();
    const action = counting(await ros(server.url));
    const cancelled: string[] = [];
    action.advertise(
      (goal, id) => {
        const { order } = goal as { order: number };
        action.sendFeedback(id, { at: 1 });
        if (order === 13) action.setFailed(id);
        else if (order < 10) action.setSucceeded(id, { counted: order });
      },
      (id) => {
        cancelled.push(id);
        action.setCanceled(id, { counted: 1 });
      },
    );
    const client = new BridgeClient({ url: server.url, now_ns });
    closers.push(() => client.close());
    await client.connect();
    const feedback: unknown[] = [];
    const goal = (order: number) =>
      client.sendGoal(
        '/count',
        'demo_msgs/action/Count',
        { order },
        {
          timeout_ms: 5000,
          feedback: (values) => feedback.push(values),
        },
      );
    expect(await goal(4).result).toEqual({ status: 4, values: { counted: 4 } });
    await expect(goal(13).result).rejects.toThrow(/Action \/count failed/);
    const endless = goal(100);
    await until('it has begun', () => feedback.length === 3);
    endless.cancel();
    expect(await endless.result).toEqual({ status: 5, values: { counted: 1 } });
    expect(cancelled).toHaveLength(1);
  });

  test('a roslib that leaves with a goal at work: the goal fails', async () => {
    const server = await start();
    const connection = await connectRoslib(server.url);
    let begun = false;
    counting(connection).advertise(
      () => {
        begun = true;
      },
      () => undefined,
    );
    const client = new BridgeClient({ url: server.url, now_ns });
    closers.push(() => client.close());
    await client.connect();
    const { result } = client.sendGoal(
      '/count',
      'demo_msgs/action/Count',
      { order: 1 },
      { timeout_ms: 5000 },
    );
    const failed = expect(result).rejects.toThrow(/disconnected/);
    await until('it has begun', () => begun);
    connection.close();
    await failed;
  });
});
