// Another policy that a part asks beside the one that is steered: a baseline, a noise source, a progress model.

import type { Moment, PartPolicy } from '../parts/index.js';
import { DenoisingPolicy, type LoadedPolicy, type LoadOptions, loadPolicy } from '../policies/index.js';
import type { Observation, PolicySpec, PolicyState } from '../types/index.js';

/** Of a policy's noise: any but the small seeds that sessions begin with. */
const SEEDS = 2 ** 31;

export class BesidePolicy implements PartPolicy {
  readonly spec: PolicySpec;

  private constructor(private readonly policy: LoadedPolicy) {
    this.spec = policy.spec;
  }

  static async open(dir: string, options: LoadOptions): Promise<BesidePolicy> {
    return new BesidePolicy(await loadPolicy(dir, options));
  }

  async ask(moment: Moment, carried: unknown) {
    // Its noise follows from the inference alone, whatever was asked or cancelled before.
    if (this.policy instanceof DenoisingPolicy) this.policy.reset(Math.floor(moment.uniforms(1)[0]! * SEEDS));
    const goal = moment.goal && picked(moment.goal, Object.keys(this.spec.goal_dims));
    const chunk = await this.policy.infer(windowOf(moment.history, this.spec.n_obs_steps), {
      ...(goal === undefined || Object.keys(goal).length === 0 ? {} : { goal }),
      ...(moment.task === undefined ? {} : { task: moment.task }),
      state: carried as PolicyState | undefined,
    });
    return { chunk, carried: chunk.state };
  }

  close(): void {
    this.policy.close();
  }
}

/** As many observations as it wants, the first repeated where there are fewer. */
function windowOf(history: readonly Observation[], n: number): readonly Observation[] {
  const window = history.slice(-n);
  while (window.length < n) window.unshift(window[0]!);
  return window;
}

const picked = <T>(from: Readonly<Record<string, T>>, keys: readonly string[]): Record<string, T> =>
  Object.fromEntries(Object.entries(from).filter(([key]) => keys.includes(key)));
