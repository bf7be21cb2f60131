// One inference with parts, from the question to the report: shapers, candidates, scorers, selector, guardians, monitors. What a
// part throws is counted and passed over; of a guardian or a monitor it becomes a hold.

import {
  type Chunks,
  type Denoiser,
  type Guarded,
  type Moment,
  type Part,
  type Question,
  type SelectEntry,
  select,
} from '../parts/index.js';
import {
  type ActionChunk,
  asTendonError,
  type GuardianReading,
  type MonitorReading,
  type SteeringReport,
} from '../types/index.js';

/** What parts leave to the next inference of an episode. */
export interface Episode {
  readonly carried: Readonly<Record<string, unknown>>;
  readonly before: Chunks | undefined;
  readonly step: number;
  /** Parts that a monitor has switched on. */
  readonly armed: readonly string[];
}

export const FIRST: Episode = { carried: {}, before: undefined, step: 0, armed: [] };

/** What is played in the end: candidate `chosen`, or what a guardian made of it. */
export interface Played {
  readonly chosen: number;
  readonly actions: Float32Array;
}

export class Round {
  private readonly scores: Record<string, number[]> = {};
  private readonly skipped: Record<string, string> = {};
  private readonly said: Record<string, unknown> = {};
  private readonly monitors: MonitorReading[] = [];
  private readonly guardians: GuardianReading[] = [];
  private readonly carried: Record<string, unknown>;
  private readonly armed: string[];
  private order: readonly number[] = [];
  private holds: string | undefined;
  private asks_person = false;
  private ruled = false;

  constructor(
    private readonly parts: readonly (readonly [string, Part])[],
    private readonly episode: Episode,
    /** Parts that could not be done in time are passed over from this moment on (performance.now). */
    private readonly until_ms: number,
  ) {
    this.carried = { ...episode.carried };
    this.armed = [...episode.armed];
  }

  /** Parts that act while the chunk is drawn, on as they are now. */
  denoisers(): (readonly [string, Denoiser])[] {
    return this.parts.flatMap(([name, part]) =>
      part.kind === 'denoise' ? [[name, part.part] as const] : [],
    );
  }

  /** A part that acts on the way failed in one call: its answer is left out there. */
  failed(name: string, caught: unknown): void {
    this.skipped[name] = asTendonError(caught, name).message;
  }

  get hold(): string | undefined {
    return this.holds;
  }

  /** What the policy is asked, after every shaper in order. */
  async shape(question: Question, moments: (name: string) => Moment): Promise<Question> {
    let shaped = question;
    for (const [name, { kind, part }] of this.parts) {
      if (kind !== 'shaper') continue;
      await this.attempt(name, async () => {
        const answer = await this.inTime(part.shape(shaped, moments(name), this.carried[name]));
        if (answer.carried !== undefined) this.carried[name] = answer.carried;
        if (answer.said !== undefined) this.said[name] = answer.said;
        if (answer.hold !== undefined) this.holdFor(answer.hold);
        shaped = answer.question;
      });
    }
    return shaped;
  }

  /** Scores of every scorer that is on. */
  async judge(chunks: Chunks, moments: (name: string) => Moment): Promise<void> {
    for (const [name, { kind, part }] of this.parts) {
      if (kind !== 'scorer') continue;
      if (chunks.n < (part.least ?? 1)) {
        this.skipped[name] = `it needs ${part.least} candidates, and ${chunks.n} were drawn`;
        continue;
      }
      await this.attempt(name, async () => {
        const { scores, carried } = await this.inTime(part.score(chunks, moments(name), this.carried[name]));
        const expected = part.ranks ? chunks.n : 1;
        if (scores.length !== expected) throw new Error(`expected ${expected} scores, got ${scores.length}`);
        if (!Array.from(scores).some(Number.isFinite)) throw new Error('no score is finite');
        if (carried !== undefined) this.carried[name] = carried;
        this.scores[name] = Array.from(scores);
      });
    }
  }

  /** Ranks the candidates; as drawn, where there is no selector or none of its scorers could say anything. */
  choose(entry: SelectEntry | undefined, n: number, u: number): void {
    const order = entry && select(entry, this.scores, n, u);
    this.ruled = order !== undefined;
    this.order = order ?? Array.from({ length: n }, (_, i) => i);
  }

  /** What the guardians let through, each asked about what the one before made of it. */
  async guard(given: Chunks, moments: (name: string) => Moment): Promise<Played> {
    const size = given.horizon * given.action_dim;
    let chunks = given;
    let order = this.order;
    let played: Played = {
      chosen: order[0]!,
      actions: chunks.values.slice(order[0]! * size, (order[0]! + 1) * size),
    };
    for (const [name, { kind, part }] of this.parts) {
      if (kind !== 'guardian') continue;
      this.ruled = true;
      try {
        if (chunks !== given) await this.judge(chunks, moments);
        const guarded: Guarded = await part.guard(
          order,
          chunks,
          this.scores,
          moments(name),
          this.carried[name],
        );
        if (!guarded.actions.every(Number.isFinite)) throw new Error('it gave numbers that are not finite');
        if (guarded.carried !== undefined) this.carried[name] = guarded.carried;
        this.guardians.push({ name, did: guarded.did, share: guarded.share });
        if (guarded.did === 'hold') this.holdFor(guarded.why);
        played = { chosen: guarded.chosen, actions: guarded.actions };
        if (guarded.did !== 'passed' && guarded.did !== 'next') {
          const values = chunks.values.slice();
          values.set(guarded.actions, guarded.chosen * size);
          chunks = { ...chunks, values };
        }
        order = [guarded.chosen, ...order.filter((i) => i !== guarded.chosen)];
      } catch (caught) {
        this.fails(name, caught);
      }
    }
    return played;
  }

  /** Monitors look at what is going to be played. */
  watch(chosen: number, moments: (name: string) => Moment): void {
    const scores = Object.fromEntries(
      Object.entries(this.scores).map(([name, list]) => [name, list.length > 1 ? list[chosen]! : list[0]!]),
    );
    for (const [name, { kind, part }] of this.parts) {
      if (kind !== 'monitor') continue;
      try {
        const { value, bound, alarm, act, arms, why, carried } = part.watch(
          scores,
          moments(name),
          this.carried[name],
        );
        if (carried !== undefined) this.carried[name] = carried;
        this.monitors.push({ name, value, bound, step: this.episode.step, alarm });
        const holds = act === 'hold' || act === 'takeover';
        if (alarm && (holds || !Number.isFinite(value))) this.holdFor(why, true);
        if (alarm) this.armed.push(...arms.filter((armed) => !this.armed.includes(armed)));
      } catch (caught) {
        this.fails(name, caught);
        this.asks_person = true;
      }
    }
  }

  report(): SteeringReport {
    return {
      scores: this.scores,
      order: this.order,
      ruled: this.ruled,
      monitors: this.monitors,
      guardians: this.guardians,
      skipped: this.skipped,
      ...(Object.keys(this.said).length > 0 ? { said: this.said } : {}),
      ...(this.holds === undefined ? {} : { hold: this.holds }),
      ...(this.asks_person ? { ask_person: true } : {}),
    };
  }

  next(before: Chunks | undefined): Episode {
    return { carried: this.carried, before, step: this.episode.step + 1, armed: this.armed };
  }

  /** Candidate scores as the page draws them: those of the first scorer that ranks. */
  ranking(n: number): Float32Array | undefined {
    const list = Object.values(this.scores).find((scores) => n > 1 && scores.length === n);
    return list && Float32Array.from(list);
  }

  private holdFor(why: string, asks_person = false): void {
    this.holds ??= why;
    this.asks_person ||= asks_person;
  }

  private fails(name: string, caught: unknown): void {
    const { message } = asTendonError(caught, name);
    this.skipped[name] = message;
    this.holdFor(`${name} failed: ${message}`);
  }

  private async attempt(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (caught) {
      this.skipped[name] = asTendonError(caught, name).message;
    }
  }

  /** What a part promises, if it comes in time. */
  private async inTime<T>(answer: T | Promise<T>): Promise<T> {
    if (!(answer instanceof Promise) || this.until_ms === Number.POSITIVE_INFINITY) return answer;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('late')), Math.max(0, this.until_ms - performance.now()));
    });
    // Whichever loses may still reject; nobody asks any more.
    answer.catch(() => undefined);
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  }
}

/** Candidates of an answer, with what else competes. */
export function chunksOf(
  chunk: ActionChunk,
  proposals: readonly Float32Array[],
  rows: { readonly first: number; readonly last: number },
): Chunks {
  const { horizon, action_dim, stamp_ns, period_ns } = chunk;
  const drawn = chunk.candidates ?? chunk.actions;
  const values = new Float32Array(drawn.length + proposals.length * horizon * action_dim);
  values.set(drawn);
  proposals.forEach((proposal, i) => {
    values.set(proposal, drawn.length + i * horizon * action_dim);
  });
  const n = chunk.n_candidates + proposals.length;
  return { values, n, horizon, action_dim, stamp_ns, period_ns, ...rows };
}
