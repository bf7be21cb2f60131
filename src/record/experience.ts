// Recorded runs as experience: the chunks of a recording with the observations that they answer, cut where episodes end. A
// recording without episodes is one run, and counts as a success: whoever names it says so.

import type { Experience, Observation } from '../types/index.js';
import { observationOf, Recording } from './read.js';
import { chunkOf } from './replay-policy.js';

/** Observations that a chunk may still answer. */
const KEPT = 2000;

/** Runs in the order of the files. Throws `file_missing` or `file_corrupt`. */
export async function* recordedRuns(files: readonly string[]): AsyncGenerator<Experience> {
  for (const file of files) {
    const recording = await Recording.open(file);
    const seen = new Map<number, Observation>();
    let steps: Experience['steps'][number][] = [];
    let episodes = 0;
    for await (const event of recording.events()) {
      if (event.channel === 'observation') {
        seen.set(event.body.stamp_ns, observationOf(event));
        if (seen.size > KEPT) seen.delete(seen.keys().next().value!);
      } else if (event.channel === 'chunk' && event.body.answer === 'used') {
        const chunk = chunkOf(event.body);
        const observation = chunk && seen.get(chunk.stamp_ns);
        if (chunk !== undefined && observation !== undefined) steps.push({ observation, chunk });
      } else if (event.channel === 'input' && event.body.kind === 'reset') {
        // What was begun before it is no run.
        steps = [];
      } else if (event.channel === 'episode') {
        episodes++;
        if (steps.length > 0) yield { success: event.body.success, steps };
        steps = [];
      }
    }
    if (episodes === 0 && steps.length > 0) yield { success: true, steps };
  }
}
