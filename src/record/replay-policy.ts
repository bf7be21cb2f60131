// The policy of a replay: asked by the controller when the recorded one was, it answers when that did. It computes the
// answer again, or takes the recorded one where there is no policy to ask.

import type {
  ActionChunk,
  Answer,
  Goal,
  InferOptions,
  Observation,
  Policy,
  PolicySpec,
  SamplerChoice,
  SteeringReport,
  SteeringSetting,
} from '../types/index.js';
import { readNumbers, type SessionHeader } from './events.js';
import type { ReadEvent } from './read.js';

export type ReplayablePolicy = Policy & {
  readonly choice?: SamplerChoice;
  choose?(choice: Partial<SamplerChoice>): Promise<void>;
  restore?(setting: SteeringSetting): void;
};

/** What became of a question, as far as asking it again depends on it. */
export interface Answered {
  readonly answer: Answer;
  /** Candidates that were drawn, and parts that did not come in time. */
  readonly candidates?: number | undefined;
  readonly late: readonly string[];
}

type Question = ReadEvent<'asked'>['body'];

export class ReplayedPolicy implements Policy {
  readonly spec: PolicySpec;
  /** What the question of the tick being replayed was; set before the tick. */
  question: Question | undefined;
  /** Of the window: what the controller shows now is not what it showed then. */
  otherwise: string | undefined;
  private asked = 0;
  private waiting: { answer(chunk: ActionChunk): void; refuse(cause: Error): void } | undefined;
  private computed: Promise<ActionChunk | undefined> | undefined;

  constructor(
    header: SessionHeader,
    private readonly answers: readonly Answered[],
    private readonly inner: ReplayablePolicy | undefined,
    private readonly as_recorded: boolean,
  ) {
    const { dir: _, rate_hz, ...policy } = header.policy;
    const { observation_dims, action_dim } = header;
    const rest = { observation_dims, action_dim, image_shapes: {}, goal_dims: {}, rate_hz };
    this.spec = inner?.spec ?? { ...policy, ...rest };
  }

  /** That of the question. */
  get goal(): Goal | undefined {
    const goal = this.question?.goal;
    return (
      goal &&
      Object.fromEntries(Object.entries(goal).map(([key, v]) => [key, Float32Array.from(readNumbers(v))]))
    );
  }

  reset(seed: number): void {
    this.inner?.reset(seed);
  }

  infer(given: Observation | readonly Observation[], options: InferOptions = {}): Promise<ActionChunk> {
    const window = given as readonly Observation[];
    const number = this.asked++;
    const { question } = this;
    if (question === undefined) this.otherwise ??= 'an inference begins where none began';
    else if (!window.every(({ stamp_ns }, i) => stamp_ns === question.window_ns[i]))
      this.otherwise ??= 'an inference looks at other observations';
    this.computed = this.compute(window, options, question, this.answers[number]).catch(() => undefined);
    return new Promise((answer, refuse) => {
      this.waiting = { answer, refuse };
    });
  }

  /** The recorded answer arrives: what was computed, or undefined where there is nothing to compare. */
  async release(body: ReadEvent<'chunk'>['body']): Promise<ActionChunk | undefined> {
    const { waiting } = this;
    const computed = await this.computed;
    this.waiting = undefined;
    this.computed = undefined;
    const recorded = chunkOf(body);
    if (recorded === undefined) waiting?.refuse(new Error(body.cause));
    // Where the time went is not computed again.
    else waiting?.answer(computed ?? recorded);
    return recorded && computed;
  }

  close(): void {
    this.waiting?.refuse(new Error('the replay ended'));
  }

  private async compute(
    window: readonly Observation[],
    options: InferOptions,
    question: Question | undefined,
    answered: Answered | undefined,
  ): Promise<ActionChunk | undefined> {
    const { inner } = this;
    if (inner === undefined) return undefined;
    const choice = this.as_recorded ? question?.choice : undefined;
    if (choice !== undefined && JSON.stringify(choice) !== JSON.stringify(inner.choice))
      await inner.choose?.(choice as SamplerChoice);
    const setting = this.as_recorded ? question?.setting : undefined;
    if (setting !== undefined)
      inner.restore?.({
        ...setting,
        off: [...setting.off, ...(answered?.late ?? [])],
        candidates: setting.candidates ?? answered?.candidates,
      });
    const { signal: _, ...asked } = options;
    // One that was cancelled drew its noise and went no further.
    return inner.infer(
      window,
      answered?.answer === 'cancelled' ? { ...asked, signal: AbortSignal.abort() } : asked,
    );
  }
}

/** What the recorded policy answered; undefined when it failed or was cancelled. */
export function chunkOf(body: ReadEvent<'chunk'>['body']): ActionChunk | undefined {
  const { stamp_ns, period_ns, horizon, action_dim, n_candidates, chosen, timing, actions } = body;
  if (actions === undefined || stamp_ns === undefined || period_ns === undefined || timing === undefined)
    return undefined;
  return {
    stamp_ns,
    period_ns,
    horizon: horizon ?? 0,
    action_dim: action_dim ?? 0,
    n_candidates: n_candidates ?? 1,
    chosen: chosen ?? 0,
    actions: Float32Array.from(readNumbers(actions)),
    ...(body.candidates === undefined ? {} : { candidates: Float32Array.from(readNumbers(body.candidates)) }),
    ...(body.steering === undefined ? {} : { steering: body.steering as unknown as SteeringReport }),
    timing,
  };
}
