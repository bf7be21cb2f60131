// What a world model expects of every candidate: Σ γ^t·reward along its rows, and the value of where they end where it has
// critics. All candidates are rolled together.

import type { NativePool } from '../native/index.js';
import { type Chunks, executed, type Moment, readAt, type WorldReturns } from '../parts/index.js';
import { RolledReturns } from '../policies/index.js';

export class Returns implements WorldReturns {
  private constructor(private readonly world: RolledReturns) {}

  static async open(dir: string, pool: NativePool): Promise<Returns> {
    return new Returns(await RolledReturns.open(dir, pool));
  }

  /** What is decided already counts as it will be played; then each candidate's own rows, to the last that is executed. */
  of(chunks: Chunks, { newest, goal, playing }: Moment): Promise<Float32Array> {
    const { action_dim, first, last, stamp_ns, period_ns } = chunks;
    const decided = new Float64Array(action_dim);
    const rows = executed(chunks, 'all').map((chunk) => {
      const whole = chunk.slice(0, last * action_dim);
      for (let row = 0; row < first && playing !== undefined; row++)
        if (readAt(playing, stamp_ns + row * period_ns, period_ns, decided))
          whole.set(decided, row * action_dim);
      return whole;
    });
    return this.world.of(newest, rows, goal);
  }
}
