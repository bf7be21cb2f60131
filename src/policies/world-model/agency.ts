// Who acts: a demonstration's policy, the planner around what that policy would do, or both, as MoDem-V2 hands agency over
// from one plan to the next (modem.ts).

import type { Observation, Policy, PolicyState } from '../../types/index.js';
import type { ActionCodec } from '../features.js';
import type { Acted, Actor, ActRequest } from './actors.js';
import { type ModemConfig, plannerShare } from './modem.js';

export interface Demonstration {
  readonly modem: ModemConfig;
  readonly policy: Policy | undefined;
}

export interface AgencyRequest extends ActRequest {
  readonly signal?: AbortSignal;
  /** Which plan this is of those that agency is handed over by; counted from loading when absent. */
  readonly plan_number?: number;
  /** Of the demonstration's policy. */
  readonly shown_state?: PolicyState | undefined;
}

/** What was done, and what the demonstration's policy carries on. */
export interface AgencyActed extends Acted {
  readonly shown_state: PolicyState | undefined;
}

/** What the planner's sequences are made of. */
interface Planned {
  readonly table: { readonly horizon: number; readonly action_dim: number };
  /** Steps of the robot in one of the planner. */
  readonly repeats: number;
  readonly encode: ActionCodec['encode'];
}

export class Agency {
  private plans = 0;

  /** `uniform` draws from the episode's stream. */
  constructor(
    private readonly modem: ModemConfig,
    private readonly policy: Policy,
    private readonly planned: Planned,
    private readonly uniform: () => number,
  ) {}

  reset(seed: number): void {
    this.policy.reset(seed);
  }

  close(): void {
    this.policy.close();
  }

  async act(
    actor: Actor,
    request: AgencyRequest,
    observation: Observation | readonly Observation[],
    newest: Observation,
  ): Promise<AgencyActed> {
    const { handover, centre_std } = this.modem;
    const plan = request.plan_number ?? this.plans;
    this.plans = plan + 1;
    const { shown, shown_state } = await this.shown(observation, newest, request);
    const share = handover === undefined ? 1 : plannerShare(handover, plan);
    const blends = handover?.mode === 'blend';
    if (blends ? share === 0 : this.uniform() >= share) return { status: 'ok', actions: shown, shown_state };
    const acted = await actor.act({ ...request, ...(centre_std === 0 ? {} : { centre: shown }) });
    if (!blends || acted.status !== 'ok') return { ...acted, shown_state };
    return {
      ...acted,
      shown_state,
      actions: acted.actions.map((a, i) => share * a + (1 - share) * shown[i]!),
    };
  }

  /** What the policy would do, as a sequence of the planner: (horizon, action_dim) in [−1, 1]. */
  private async shown(
    observation: Observation | readonly Observation[],
    newest: Observation,
    { signal, shown_state: state }: AgencyRequest,
  ): Promise<{ shown: Float32Array; shown_state: PolicyState | undefined }> {
    const whole = Array.isArray(observation) as boolean;
    const given = observation as readonly Observation[];
    // A history is passed on where it is as long as the policy's own; else the newest joins what the policy has seen.
    const asked = whole && given.length !== this.policy.spec.n_obs_steps ? given.at(-1)! : observation;
    const chunk = await this.policy.infer(asked, { state, ...(signal === undefined ? {} : { signal }) });
    const { actions, horizon } = chunk;
    const { table, repeats, encode } = this.planned;
    const width = table.action_dim;
    const rows = new Float32Array(table.horizon * width);
    for (let t = 0; t < table.horizon; t++) {
      // Where the policy's rows end, the last is held.
      const from = Math.min(t * repeats, horizon - 1) * width;
      rows.set(actions.subarray(from, from + width), t * width);
    }
    encode(rows, newest);
    return { shown: rows.map((a) => Math.min(1, Math.max(-1, a))), shown_state: chunk.state };
  }
}
