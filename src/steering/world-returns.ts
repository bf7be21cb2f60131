// What a world model expects of every candidate: Σ γ^t·reward along its rows, and the value of where they end where it has
// critics. All candidates are rolled together.

import type { NativePool } from '../native/index.js';
import { type Chunks, executed, type Moment, type WorldReturns } from '../parts/index.js';
import { RolledReturns } from '../policies/index.js';

export class Returns implements WorldReturns {
  private constructor(private readonly world: RolledReturns) {}

  static async open(dir: string, pool: NativePool): Promise<Returns> {
    return new Returns(await RolledReturns.open(dir, pool));
  }

  of(chunks: Chunks, { newest, goal }: Moment): Promise<Float32Array> {
    return this.world.of(newest, executed(chunks, 'executed'), goal);
  }
}
