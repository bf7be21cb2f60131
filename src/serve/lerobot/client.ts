// One robot of LeRobot's asynchronous inference, as its server keeps it (async_inference/policy_server.py): the newest observation
// waits, an older one makes room; what was predicted already or hardly moved is passed over unless it must go.

import {
  type Observation,
  type Policy,
  type PolicySpec,
  type PolicyState,
  TendonError,
} from '../../types/index.js';
import { encodeData } from './messages.js';
import { readObservation, readSetup, type Setup, type TimedObservation, writeActions } from './pickles.js';
import { observationOf } from './robot.js';

/** Joint space distance below which two states are one (helpers.py, observations_similar). */
const SIMILAR = 1;

export class RobotClient {
  private setup: Setup | undefined;
  private waiting: TimedObservation | undefined;
  /** The newest observations, as many as the policy looks at. */
  private readonly window: Observation[] = [];
  /** The state that was predicted from last. */
  private last: Float32Array | undefined;
  private readonly predicted = new Set<number>();
  private state: PolicyState | undefined;
  private wake: (() => void) | undefined;

  constructor(
    private readonly spec: PolicySpec,
    private readonly infer: Policy['infer'],
    /** Seconds between two actions. */
    private readonly period_s: number,
  ) {}

  /** Throws `config_invalid` when the client asks for another kind of policy. */
  instruct(pickle: Buffer): void {
    const setup = readSetup(pickle);
    const { family } = this.spec;
    if (setup.policy_type !== family)
      throw new TendonError(
        'config_invalid',
        `policy_type: this server runs a policy of ${family}, the client asks for ${setup.policy_type}; start the client with --policy_type=${family}`,
        { expected: family, got: setup.policy_type },
      );
    this.setup = setup;
  }

  /** Takes an observation, or passes it over. */
  show(pickle: Buffer): void {
    const observation = readObservation(pickle);
    if (!observation.must_go && this.last !== undefined && !this.isNews(observation)) return;
    this.waiting = observation;
    this.wake?.();
  }

  /** The chunk for the newest observation, Actions as bytes; empty when none comes within `timeout_ms`. */
  async act(timeout_ms: number, signal: AbortSignal): Promise<Buffer> {
    const { setup } = this;
    if (setup === undefined)
      throw new TendonError('input_invalid', 'GetActions before SendPolicyInstructions');
    const observation = await this.next(timeout_ms, signal);
    if (observation === undefined) return Buffer.alloc(0);
    const { timestep, timestamp } = observation;
    this.predicted.add(timestep);
    const seen = observationOf(observation, setup, this.spec, timestamp * 1e9);
    const { action_dim, horizon } = this.spec;
    const chunk = await this.infer(this.windowWith(seen), { state: this.state, signal });
    this.state = chunk.state;
    this.last = stateOf(seen.values);
    const rows = Math.min(setup.actions_per_chunk, horizon);
    const actions = Array.from({ length: rows }, (_, i) => ({
      timestamp: timestamp + i * this.period_s,
      timestep: timestep + i,
      action: chunk.actions.slice(i * action_dim, (i + 1) * action_dim),
    }));
    return encodeData(writeActions(actions, setup.module));
  }

  /** The first observation stands for those before it, as when an episode begins. */
  private windowWith(seen: Observation): readonly Observation[] {
    const { window } = this;
    window.push(seen);
    while (window.length < this.spec.n_obs_steps) window.unshift(window[0]!);
    window.splice(0, window.length - this.spec.n_obs_steps);
    return [...window];
  }

  private async next(timeout_ms: number, signal: AbortSignal): Promise<TimedObservation | undefined> {
    if (this.waiting === undefined && !signal.aborted)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeout_ms);
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          resolve();
        };
        signal.addEventListener('abort', done, { once: true });
        this.wake = done;
      });
    this.wake = undefined;
    const { waiting } = this;
    this.waiting = undefined;
    return waiting;
  }

  private isNews(observation: TimedObservation): boolean {
    if (this.predicted.has(observation.timestep)) return false;
    const { setup, last } = this;
    if (setup === undefined || last === undefined) return true;
    const state = stateOf(observationOf(observation, setup, this.spec, 0).values);
    return Math.hypot(...state.map((v, i) => v - last[i]!)) >= SIMILAR;
  }
}

const stateOf = (values: Readonly<Record<string, Float32Array>>): Float32Array =>
  values['observation.state'] ?? new Float32Array();
