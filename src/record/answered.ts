// One inference of a recording: the chunk that was answered, the observation it answers, and the goal it was asked with.

import { type ActionChunk, type Goal, type Observation, TendonError } from '../types/index.js';
import { readNumbers } from './events.js';
import { observationOf, type ReadEvent, Recording } from './read.js';
import { chunkOf } from './replay-policy.js';

export interface AnsweredChunk {
  /** Which of the recording's answered chunks, from 0. */
  readonly number: number;
  readonly chunk: ActionChunk;
  readonly observation: Observation;
  readonly goal: Goal | undefined;
  /** Since the recording's first tick. */
  readonly at_s: number;
}

/** The chunk of that number, or the first that came at or after `at_s`. Throws `config_invalid` when there is none. */
export async function answeredChunk(
  file: string,
  which: { readonly number: number } | { readonly at_s: number },
): Promise<AnsweredChunk & { readonly header: Recording['header'] }> {
  const recording = await Recording.open(file);
  const seen = new Map<number, ReadEvent<'observation'>>();
  let asked: ReadEvent<'asked'>['body'] | undefined;
  let first_ns: number | undefined;
  let number = 0;
  for await (const event of recording.events()) {
    if (event.channel === 'tick') first_ns ??= event.body.now_ns;
    else if (event.channel === 'asked') asked = event.body;
    else if (event.channel === 'observation') {
      seen.set(event.body.stamp_ns, event);
      // A chunk answers within seconds; what is older is not asked for again.
      if (seen.size > 2000) seen.delete(seen.keys().next().value!);
    }
    if (event.channel !== 'chunk') continue;
    const chunk = chunkOf(event.body);
    if (chunk === undefined) continue;
    const at_s = (event.body.now_ns - (first_ns ?? event.body.now_ns)) / 1e9;
    const here = number++;
    if ('number' in which ? here < which.number : at_s < which.at_s) continue;
    const observation = seen.get(chunk.stamp_ns);
    if (observation === undefined) continue;
    const goal =
      asked?.goal &&
      Object.fromEntries(
        Object.entries(asked.goal).map(([key, v]) => [key, Float32Array.from(readNumbers(v))]),
      );
    const { header } = recording;
    return { number: here, chunk, observation: observationOf(observation), goal, at_s, header };
  }
  throw new TendonError(
    'config_invalid',
    `${file} has ${number} answered chunks; there is none ${'number' in which ? `of number ${which.number} (from 0)` : `at ${which.at_s} s or later`}`,
    { file, chunks: number },
  );
}
