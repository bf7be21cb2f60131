// A policy behind the wire of openpi's policy server (websocket_policy_server.py): a robot's program that speaks to π0 speaks
// to any policy here. One request, one answer, binary msgpack both ways; metadata on connecting.

import type { WebSocket } from 'ws';
import { ObservationWindow, type Overlap, overlapFor } from '../control/index.js';
import { Door, Sockets } from '../net/index.js';
import {
  type ActionChunk,
  asTendonError,
  NS_PER_MS,
  NS_PER_S,
  type Observation,
  type Policy,
  type PolicyState,
  TendonError,
} from '../types/index.js';
import { packNumpy, unpackNumpy, type Wire } from './msgpack-numpy.js';
import { Float, NdArray } from './ndarray.js';
import { observationsOf } from './observation.js';

export interface PolicyServerOptions {
  readonly policy: Policy;
  readonly port: number;
  /** Loopback when absent. */
  readonly host?: string | undefined;
  /** Asked of clients as `Authorization: Api-Key …`; needed when others than this machine may connect. */
  readonly token?: string | undefined;
  /** A client that answers no ping for this long is gone; default 10 s. */
  readonly ping_ms?: number;
  /** Of the policy's noise, anew for every client. */
  readonly seed?: number;
  /** Sent to a client that connects, beside what the policy says of itself. */
  readonly metadata?: Readonly<Record<string, Wire>>;
}

export interface PolicyServer {
  readonly url: string;
  close(): Promise<void>;
}

/** The largest frame: four cameras of a megapixel and room. */
const MAX_FRAME = 32 * 1024 * 1024;
/** openpi's client asks and waits; whoever asks on without waiting is cut off before memory is full. */
const MOST_WAITING = 4;
const PING_MS = 10_000;
const CLOSE_TAKEN_OVER = 4001;

/** Throws `config_invalid` when strangers could connect without a token, or the port is taken. */
export async function servePolicy(options: PolicyServerOptions): Promise<PolicyServer> {
  const { host, port, token } = options;
  let client: WebSocket | undefined;
  // One after the other, in order, as openpi's server works; a client that took over waits for what the other asked.
  const turns = new Turns();
  const sockets = new Sockets({
    max_payload: MAX_FRAME,
    most_clients: 16,
    ping_ms: options.ping_ms ?? PING_MS,
    accept(socket) {
      // The policy remembers what it has seen, which is one robot's.
      if (client !== undefined && token === undefined) {
        socket.close(1013, 'another client is being served');
        return;
      }
      // A robot whose power failed comes back as a new client; its token says that it is the same.
      client?.close(CLOSE_TAKEN_OVER, 'a client with the same token took over');
      client = socket;
      socket.once('close', () => {
        if (client === socket) client = undefined;
      });
      serveClient(socket, options, turns);
    },
  });
  const door = await Door.open({
    name: 'the policy server',
    risk: 'ask this policy',
    host,
    port,
    // Browsers name the page that they show; no page has business here.
    rules: { hosts: 'any', origins: 'none', token, scheme: 'Api-Key' },
    open: ['/healthz'],
    answer(request, response) {
      const health = request.url === '/healthz';
      response.writeHead(health ? 200 : 404).end(health ? 'OK\n' : '');
    },
    upgrade: sockets.upgrade,
  }).catch((caught) => {
    sockets.close('');
    throw caught;
  });
  return {
    url: door.url('ws'),
    async close() {
      sockets.close('the server is shutting down');
      await door.close();
    },
  };
}

/** What one client has shown, and what the policy carries on for it. */
class Client {
  private readonly window: ObservationWindow | undefined;
  /** ACT's ensemble over the answers, by time, where the checkpoint asks for one. */
  private readonly overlap: Overlap | undefined;
  private readonly period_ns: number;
  private state: PolicyState | undefined;

  constructor(private readonly policy: Policy) {
    const { n_obs_steps, rate_hz, ensemble } = policy.spec;
    this.period_ns = rate_hz === undefined ? 0 : NS_PER_S / rate_hz;
    // Without a rate nothing says which observation is the one before.
    if (rate_hz !== undefined) this.window = new ObservationWindow(n_obs_steps, this.period_ns);
    if (rate_hz !== undefined && ensemble !== undefined)
      this.overlap = overlapFor({ mode: 'ensemble', coeff: ensemble }, this.period_ns);
  }

  get unfilled(): number {
    return this.window?.unfilled ?? 0;
  }

  async ask(frame: Wire, now_ns: number, signal: AbortSignal) {
    const { policy, state } = this;
    const observations = observationsOf(frame, policy.spec, now_ns, this.period_ns);
    const window = this.windowOf(observations);
    // An ensemble without a rate is the policy's own, from request to request.
    if (policy.spec.ensemble !== undefined && this.overlap === undefined)
      return policy.infer(window, { signal });
    const chunk = await policy.infer(window, { state, signal });
    this.state = chunk.state;
    refuseHeld(chunk);
    return this.overlap?.merge(chunk, undefined) ?? chunk;
  }

  /** A history that is long enough speaks for itself; what is missing comes from earlier requests, by time. */
  private windowOf(observations: readonly Observation[]): readonly Observation[] {
    const steps = this.policy.spec.n_obs_steps;
    for (const observation of observations) this.window?.push(observation);
    if (observations.length >= steps) return observations.slice(-steps);
    const window = this.window?.window();
    if (window !== undefined) return window;
    throw new TendonError(
      'input_invalid',
      `the policy looks at ${steps} observations, got ${observations.length}, and its checkpoint does not say how far apart they are; send a history of ${steps}, or start with --policy-hz`,
      { n_obs_steps: steps },
    );
  }
}

/** openpi's wire has no word for a hold: what parts let nobody play is an error, so that a client plays nothing. */
function refuseHeld({ steering }: ActionChunk): void {
  if (steering?.hold !== undefined)
    throw new TendonError('policy_failed', `nothing may be played: ${steering.hold}`);
}

/** Work that is done one after the other. */
class Turns {
  private last: Promise<void> = Promise.resolve();

  /** `work` must not reject. */
  add(work: () => Promise<void> | void): void {
    this.last = this.last.then(work);
  }
}

function serveClient(
  socket: WebSocket,
  { policy, seed = 0, metadata = {} }: PolicyServerOptions,
  turns: Turns,
): void {
  const { spec } = policy;
  const { family, horizon, action_dim, n_action_steps, n_obs_steps, rate_hz } = spec;
  const { observation_dims, image_shapes } = spec;
  turns.add(() => policy.reset(seed));
  const seen = new Client(policy);
  const says: Wire = {
    family,
    action_horizon: horizon,
    action_dim,
    n_action_steps,
    // A client sends as many moments with every request, or asks once a period.
    n_obs_steps,
    ...(rate_hz === undefined ? {} : { rate_hz: new Float(rate_hz) }),
    observation: { ...observation_dims, ...image_shapes },
    ...metadata,
  };
  socket.send(packNumpy(says));
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  let previous_ms: number | undefined;
  let waiting = 0;
  const answer = async (data: Buffer, binary: boolean): Promise<void> => {
    if (gone.signal.aborted) return;
    const began = performance.now();
    try {
      if (!binary)
        throw new TendonError('input_invalid', 'expected a binary frame, msgpack with numpy arrays');
      const chunk = await seen.ask(unpackNumpy(data), began * NS_PER_MS, gone.signal);
      const infer_ms = performance.now() - began;
      socket.send(
        packNumpy({
          actions: NdArray.of(chunk.actions, [chunk.horizon, chunk.action_dim]),
          server_timing: {
            infer_ms: new Float(infer_ms),
            ...(previous_ms === undefined ? {} : { prev_total_ms: new Float(previous_ms) }),
          },
          // Moments of windows that were neither sent nor asked about in time.
          ...(n_obs_steps > 1 ? { windows_unfilled: seen.unfilled } : {}),
          policy_timing: { infer_ms: new Float(chunk.timing.total_ns / NS_PER_MS) },
        }),
      );
      previous_ms = performance.now() - began;
    } catch (caught) {
      // As openpi does it: a text frame with what went wrong, which its client raises, and the end.
      socket.send(asTendonError(caught, 'inference').message);
      socket.close(1011, 'Internal server error. Traceback included in previous frame.');
    }
  };
  socket.on('message', (data: Buffer, binary) => {
    if (waiting >= MOST_WAITING) {
      socket.close(1008, `more than ${MOST_WAITING} requests wait for their answers`);
      gone.abort();
      return;
    }
    waiting++;
    turns.add(async () => {
      await answer(data, binary);
      waiting--;
    });
  });
}
