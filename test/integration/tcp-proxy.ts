// A TCP proxy that can be made to misbehave as links do: each direction may stand still, as one on which packets are lost
// (what is under way dies with the connection) or as one whose other end does not read (what it has received stays), or
// be slow; and all connections can be cut.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type Direction = 'up' | 'down';
export type Stall = 'lossy' | 'unread';

interface Flow {
  readonly from: Socket;
  readonly to: Socket;
  readonly direction: Direction;
  readonly held: Buffer[];
}

export interface TcpProxy {
  readonly port: number;
  /** How often somebody connected. */
  readonly connected: () => number;
  stall(direction: Direction, how: Stall): void;
  resume(direction: Direction): void;
  /** Every byte takes so long. */
  delay(direction: Direction, ms: number): void;
  cut(): void;
  close(): void;
}

/** Stands before `port` of this machine. `up` is towards the server. */
export async function tcpProxy(port: () => number): Promise<TcpProxy> {
  const flows = new Set<Flow>();
  const stalled: Partial<Record<Direction, Stall>> = {};
  const delays: Record<Direction, number> = { up: 0, down: 0 };
  let connections = 0;
  const carry = (from: Socket, to: Socket, direction: Direction): void => {
    const flow: Flow = { from, to, direction, held: [] };
    flows.add(flow);
    if (stalled[direction] === 'unread') from.pause();
    from.on('data', (data: Buffer) => {
      if (stalled[direction] === 'lossy' || flow.held.length > 0) {
        flow.held.push(data);
        return;
      }
      const ms = delays[direction];
      if (ms === 0) to.write(data);
      else setTimeout(() => to.destroyed || to.write(data), ms);
    });
    from.on('end', () => to.end());
    for (const end of [from, to])
      end.on('close', () => {
        flow.held.length = 0;
        flows.delete(flow);
        from.destroy();
        to.destroy();
      });
  };
  const server = createServer((near) => {
    connections++;
    const far = connect(port(), '127.0.0.1');
    for (const end of [near, far]) {
      end.setNoDelay(true);
      end.on('error', () => end.destroy());
    }
    carry(near, far, 'up');
    carry(far, near, 'down');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = (): void => {
    for (const { from } of flows) from.resetAndDestroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    connected: () => connections,
    stall(direction, how) {
      stalled[direction] = how;
      if (how === 'unread') for (const flow of flows) if (flow.direction === direction) flow.from.pause();
    },
    resume(direction) {
      delete stalled[direction];
      for (const flow of flows) {
        if (flow.direction !== direction) continue;
        for (const data of flow.held.splice(0)) flow.to.write(data);
        flow.from.resume();
      }
    },
    delay(direction, ms) {
      delays[direction] = ms;
    },
    cut,
    close() {
      cut();
      server.close();
    },
  };
}
