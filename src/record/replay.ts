// Plays a recording to the same controller again (replayer.ts): event by event, in the order in which they happened. With
// the same inputs the commands come out the same, bit for bit; what does not is counted and the first of it named. Another
// policy may answer instead, to see where it would have differed.

import { type ReadEvent, Recording } from './read.js';
import { type Answered, type ReplayablePolicy, ReplayedPolicy } from './replay-policy.js';
import { DRIVING, Replayer, type ReplayReport, type Step } from './replayer.js';

export interface ReplayOptions {
  /** Answers again from what it is shown; without one the recorded chunks do. */
  readonly policy?: ReplayablePolicy | undefined;
  /** Sets the policy's sampler as it was at every question; true when absent. */
  readonly as_recorded?: boolean;
  readonly onProgress?: (seconds: number) => void;
}

/** Throws `file_missing` or `file_corrupt`, and what the policy throws on being made ready. */
export async function replay(file: string, options: ReplayOptions = {}): Promise<ReplayReport> {
  const { answers, started_ns } = await outline(file);
  const recording = await Recording.open(file);
  const replayer = new Replayer(
    recording.header,
    new ReplayedPolicy(recording.header, answers, options.policy, options.as_recorded ?? true),
  );
  replayer.start(started_ns);
  for await (const { head, made } of steps(recording)) {
    if (head.channel === 'gap')
      return replayer.finish('the disk did not keep up here: the recording has a hole');
    if ('now_ns' in head.body) options.onProgress?.((head.body.now_ns - started_ns) / 1e9);
    await replayer.step({ head, made });
  }
  return replayer.finish(recording.whole ? undefined : 'the recorder was killed here: the file has no end');
}

/** What must be known beforehand: when the loop began, and which questions were never answered. */
async function outline(file: string): Promise<{ answers: Answered[]; started_ns: number }> {
  const answers: Answered[] = [];
  let started_ns = 0;
  for await (const { channel, body } of (await Recording.open(file)).events()) {
    if (channel === 'chunk')
      answers.push({
        answer: body.answer,
        candidates: body.steering && body.n_candidates,
        late: Object.entries(body.steering?.skipped ?? {}).flatMap(([name, why]) =>
          why === 'late' ? [name] : [],
        ),
      });
    else if (channel === 'input' && body.kind === 'started') started_ns = body.now_ns;
  }
  return { answers, started_ns };
}

async function* steps(recording: Recording): AsyncGenerator<Step> {
  let step: { head: Step['head']; made: ReadEvent[] } | undefined;
  for await (const event of recording.events()) {
    if (!drives(event)) {
      step?.made.push(event);
      continue;
    }
    if (step !== undefined) yield step;
    step = { head: event, made: [] };
  }
  if (step !== undefined) yield step;
}

function drives(event: ReadEvent): event is Step['head'] {
  return (DRIVING as readonly string[]).includes(event.channel);
}
