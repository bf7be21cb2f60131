// Desired positions, kept near where the robot is and inside its workspace, before the limits have the last word.

import {
  type CommandQuantity,
  type Nanoseconds,
  NS_PER_S,
  TendonError,
  type Workspace,
} from '../types/index.js';
import type { Limiter, Limits } from './limiter.js';
import { WorkspaceGuard } from './workspace.js';

export interface GuardsOptions {
  readonly limits: Limits;
  readonly workspace?: Workspace | undefined;
  readonly quantity?: CommandQuantity | undefined;
}

/** What `keep` did, as bits. */
export const GUARDED = { step: 1, workspace: 2 } as const;

export class Guards {
  /** Where the robot is, (action_dim). */
  readonly measured: Float64Array;
  private readonly step: readonly number[] | undefined;
  private readonly workspace: WorkspaceGuard | undefined;
  private readonly period_s: number;

  /** Throws `config_invalid` for a workspace where commands are velocities: it would guard nothing. */
  constructor({ limits, workspace, quantity }: GuardsOptions, dim: number, period_ns: Nanoseconds) {
    if (workspace !== undefined && quantity === 'velocity')
      throw new TendonError(
        'config_invalid',
        'workspace: expected commands of position, got quantity velocity; where the tip is does not follow from speeds',
      );
    this.measured = new Float64Array(dim);
    this.step = limits.step_from_measured;
    this.workspace = workspace && new WorkspaceGuard(workspace, limits, dim);
    this.period_s = period_ns / NS_PER_S;
  }

  see(position: ArrayLike<number>): void {
    for (let i = 0; i < this.measured.length; i++) this.measured[i] = position[i]!;
  }

  /** Changes `desired`, the step after where `limiter` is, as far as it has to be; GUARDED bits. */
  keep(limiter: Limiter, desired: Float64Array): number {
    const near = this.stayNear(desired) ? GUARDED.step : 0;
    const inside = this.workspace?.keep(limiter, desired, this.period_s) === true;
    return inside ? near | GUARDED.workspace : near;
  }

  /** Keeps targets near where the robot is: one that is blocked must not be left far behind and then let go. */
  private stayNear(desired: Float64Array): boolean {
    const { measured, step } = this;
    if (step === undefined) return false;
    let far = false;
    for (let i = 0; i < step.length; i++) {
      const kept = Math.min(measured[i]! + step[i]!, Math.max(measured[i]! - step[i]!, desired[i]!));
      // What is not finite is the limiter's to refuse.
      far ||= kept !== desired[i]! && Number.isFinite(desired[i]!);
      if (Number.isFinite(desired[i]!)) desired[i] = kept;
    }
    return far;
  }
}
