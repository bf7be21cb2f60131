// A policy behind LeRobot's asynchronous inference (async_inference/policy_server.py, gRPC without TLS): a LeRobot robot client uses
// it as its policy server. Each connection is a robot with a state of its own; all share one policy and are answered in turn.

import type {
  Metadata,
  Server,
  ServerErrorResponse,
  ServerReadableStream,
  ServerUnaryCall,
  sendUnaryData,
} from '@grpc/grpc-js';
import { isLoopback, sameSecret, TOKEN_VARIABLE } from '../../net/index.js';
import { asTendonError, type Policy, packageWhenNeeded, TendonError } from '../../types/index.js';
import { RobotClient } from './client.js';
import { Assembly, decodeData, decodePiece } from './messages.js';

const grpcPackage = packageWhenNeeded<typeof import('@grpc/grpc-js')>('@grpc/grpc-js');

export interface LerobotServerOptions {
  readonly policy: Policy;
  readonly port: number;
  /** Loopback when absent. */
  readonly host?: string | undefined;
  /** Asked of clients as metadata `authorization: Bearer …`; LeRobot's own client sends none, so it comes through a tunnel. */
  readonly token?: string | undefined;
  /** Of the robot's control loop; the policy's rate, else LeRobot's 30. */
  readonly fps?: number | undefined;
  readonly seed?: number;
  /** How long GetActions waits for an observation; default 2 s, LeRobot's. */
  readonly wait_ms?: number;
}

export interface LerobotServer {
  /** host:port, as LeRobot's --server_address takes it. */
  readonly address: string;
  close(): Promise<void>;
}

/** A piece is 2 MB; gRPC's own bound is 4. */
const MAX_MESSAGE = 4 * 1024 * 1024;
/** Four cameras of a megapixel and room, as on openpi's wire. */
const MAX_OBSERVATION = 32 * 1024 * 1024;
const MOST_CLIENTS = 16;
const WAIT_MS = 2000;
const LEROBOT_FPS = 30;

type Answer = sendUnaryData<Buffer>;

/** Throws `config_invalid` when strangers could connect without a token, or the port is taken. */
export async function serveLerobot(options: LerobotServerOptions): Promise<LerobotServer> {
  const { policy, host = '127.0.0.1', port, token, wait_ms = WAIT_MS } = options;
  if (!isLoopback(host) && token === undefined)
    throw new TendonError(
      'config_invalid',
      `LeRobot’s server: on ${host} anybody on the network could ask this policy without a token. Set one (${TOKEN_VARIABLE}, or --token-file FILE), or stay on 127.0.0.1 and let the robot come through a tunnel (ssh -L).`,
      { host },
    );
  const fps = options.fps ?? policy.spec.rate_hz ?? LEROBOT_FPS;
  policy.reset(options.seed ?? 0);
  const ask = inTurn(policy);
  const clients = new Clients(() => new RobotClient(policy.spec, ask, 1 / fps));
  const grpc = grpcPackage();
  const server = new grpc.Server({
    'grpc.max_receive_message_length': MAX_MESSAGE,
    'grpc.max_concurrent_streams': 8,
    'grpc.max_connection_idle_ms': 600_000,
  });
  const stop = new AbortController();
  const allowed = (metadata: Metadata): void => {
    const [given] = metadata.get('authorization');
    if (token !== undefined && !(typeof given === 'string' && sameSecret(`Bearer ${token}`, given)))
      throw new TendonError('input_invalid', 'a token is needed: metadata "authorization: Bearer TOKEN"');
  };
  const failed = (caught: unknown): ServerErrorResponse => {
    const { code, message } = asTendonError(caught, 'inference');
    const status = code === 'input_invalid' || code === 'file_unsafe' || code === 'file_corrupt';
    return Object.assign(new Error(message), {
      code: status
        ? grpc.status.INVALID_ARGUMENT
        : code === 'config_invalid'
          ? grpc.status.FAILED_PRECONDITION
          : grpc.status.INTERNAL,
      details: message,
    });
  };
  const unary =
    (work: (client: RobotClient, data: Buffer, signal: AbortSignal) => Promise<Buffer> | undefined) =>
    (call: ServerUnaryCall<Buffer, Buffer>, answer: Answer): void => {
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort());
      const signal = AbortSignal.any([gone.signal, stop.signal]);
      const done = async (): Promise<Buffer> => {
        allowed(call.metadata);
        return (await work(clients.of(call.getPeer()), call.request, signal)) ?? Buffer.alloc(0);
      };
      done().then(
        (data) => answer(null, data),
        (caught) => answer(failed(caught)),
      );
    };
  server.addService(service, {
    Ready(call: ServerUnaryCall<Buffer, Buffer>, answer: Answer) {
      try {
        allowed(call.metadata);
        clients.begin(call.getPeer());
        answer(null, Buffer.alloc(0));
      } catch (caught) {
        answer(failed(caught));
      }
    },
    SendPolicyInstructions: unary((client, data) => {
      client.instruct(decodeData(data));
      return undefined;
    }),
    GetActions: unary((client, _, signal) => client.act(wait_ms, signal)),
    SendObservations(call: ServerReadableStream<Buffer, Buffer>, answer: Answer) {
      const whole = new Assembly(MAX_OBSERVATION);
      let answered = false;
      const end = (caught?: unknown): void => {
        if (answered) return;
        answered = true;
        if (caught === undefined) answer(null, Buffer.alloc(0));
        else answer(failed(caught));
      };
      call.on('data', (message: Buffer) => {
        if (answered) return;
        try {
          allowed(call.metadata);
          const pickle = whole.add(decodePiece(message));
          if (pickle !== undefined) clients.of(call.getPeer()).show(pickle);
        } catch (caught) {
          end(caught);
        }
      });
      call.on('error', (error) => end(error));
      call.on('end', () => end());
    },
  });
  const bound = await listen(server, grpc.ServerCredentials.createInsecure(), host, port);
  return {
    address: `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${bound}`,
    async close() {
      stop.abort();
      server.forceShutdown();
    },
  };
}

/** One inference after the other, whoever asks: the network is on all threads. */
function inTurn(policy: Policy): Policy['infer'] {
  let last: Promise<unknown> = Promise.resolve();
  return (observation, options) => {
    const mine = last.then(() => policy.infer(observation, options));
    last = mine.catch(() => undefined);
    return mine;
  };
}

/** Robots by their connection. */
class Clients {
  private readonly known = new Map<string, RobotClient>();

  constructor(private readonly make: () => RobotClient) {}

  /** A robot says that it is there: whatever its connection was before is forgotten. */
  begin(peer: string): void {
    this.known.delete(peer);
    this.known.set(peer, this.make());
    // The one that has been silent for longest makes room.
    if (this.known.size > MOST_CLIENTS) this.known.delete(this.known.keys().next().value!);
  }

  /** The robot of a connection; one that was lost and came back on another port is the one that its machine had. */
  of(peer: string): RobotClient {
    const host = (of: string): string => of.slice(0, of.lastIndexOf(':'));
    const same = [...this.known.keys()].filter((other) => host(other) === host(peer));
    const from = this.known.has(peer) ? peer : same.length === 1 ? same[0] : undefined;
    const client = from === undefined ? undefined : this.known.get(from);
    if (from === undefined || client === undefined)
      throw new TendonError(
        'config_invalid',
        'this connection has not said Ready; start the robot client anew',
      );
    this.known.delete(from);
    this.known.set(peer, client);
    return client;
  }
}

const asIs = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream = false) => ({
  path: `/transport.AsyncInference/${name}`,
  requestStream,
  responseStream: false,
  requestSerialize: asIs,
  // What is damaged is answered by the handler, with a sentence.
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});
const service = {
  Ready: method('Ready'),
  SendPolicyInstructions: method('SendPolicyInstructions'),
  SendObservations: method('SendObservations', true),
  GetActions: method('GetActions'),
};

function listen(
  server: Server,
  credentials: Parameters<Server['bindAsync']>[1],
  host: string,
  port: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else
        reject(
          new TendonError(
            'config_invalid',
            `LeRobot’s server: cannot listen on ${host}:${port}: ${error.message}. Choose another port, or 0 for a free one.`,
            { host, port },
            { cause: error },
          ),
        );
    });
  });
}
