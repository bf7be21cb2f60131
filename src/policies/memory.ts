// What a policy remembers between two resets for callers that keep no state themselves (InferOptions.state). A reset begins a
// new memory, so what an inference that began before it finds out goes nowhere.

import type { PolicyState } from '../types/index.js';
import type { TemporalEnsemble } from './act/ensemble.js';
import type { History } from './history.js';

export interface Memory<State extends PolicyState> {
  /** Of observations that came one by one. */
  readonly history: History;
  /** What the last answer carried on. */
  state?: State | undefined;
  /** ACT's, over the answers of successive calls. A caller with a state of its own averages by time (spec.ensemble). */
  readonly ensemble?: TemporalEnsemble | undefined;
}
