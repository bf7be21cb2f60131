// Learning data out of sessions: recordings in, one LeRobotDataset out. The second pass over each recording; what is kept
// was decided by the first (spans.ts).

import { NS_PER_S, type Observation, TendonError } from '../../types/index.js';
import { readNumbers } from '../events.js';
import { observationOf, Recording } from '../read.js';
import { type Selection, type Span, spansOf } from './spans.js';
import { findCodecs } from './video.js';
import { DatasetWriter, type Frame } from './write.js';

/** The goal that a feature said becomes what another one was at the end: `feature`'s values `from` to `to`. */
export interface Hindsight {
  readonly goal: string;
  readonly feature: string;
  readonly from: number;
  readonly to: number;
}

export interface ExportOptions {
  readonly dir: string;
  readonly selection: Selection;
  /** Frames per second; the policy's rate when absent. */
  readonly fps?: number | undefined;
  readonly task?: string | undefined;
  readonly hindsight?: Hindsight | undefined;
  readonly onProgress?: (frames: number) => void;
}

export interface ExportReport {
  readonly episodes: number;
  readonly frames: number;
  readonly fps: number;
  /** Spans of a single frame: nothing can be learnt from those. */
  readonly dropped: number;
  /** Cameras that were left out because there is no ffmpeg. */
  readonly cameras_left_out: readonly string[];
}

/** Throws `input_invalid` when the recordings disagree, and `config_invalid` when nothing is left to export. */
export async function exportDataset(files: readonly string[], options: ExportOptions): Promise<ExportReport> {
  const spans = new Map<string, readonly Span[]>();
  for (const file of files) spans.set(file, await spansOf(await Recording.open(file), options.selection));
  const { header } = await Recording.open(files[0]!);
  if ([...spans.values()].every(({ length }) => length === 0))
    throw new TendonError(
      'config_invalid',
      `nothing to export: ${files.length === 1 ? files[0] : 'these recordings'} holds no ${options.selection === 'all' ? 'motion' : options.selection}; --only all takes whatever was driven`,
    );
  const fps = options.fps ?? header.policy.rate_hz ?? header.controller.rate_hz;
  const codecs = findCodecs();
  const { joint_names, robot: robot_type } = header;
  const task = options.task ?? robot_type;
  const writer = new DatasetWriter({ dir: options.dir, fps, robot_type, joint_names, task, codecs });
  const copy = new Copy(writer, fps, options);
  for (const [file, kept] of spans) await copy.from(await Recording.open(file), kept);
  await writer.close();
  return {
    episodes: writer.n_episodes,
    frames: writer.frames,
    fps,
    dropped: copy.dropped,
    cameras_left_out: codecs.length === 0 ? [...copy.cameras] : [],
  };
}

class Copy {
  readonly cameras = new Set<string>();
  dropped = 0;

  constructor(
    private readonly writer: DatasetWriter,
    private readonly fps: number,
    private readonly options: ExportOptions,
  ) {}

  /** One episode for each span, with the frame of the tick that is nearest to each moment of the frame rate. */
  async from(recording: Recording, all: readonly Span[]): Promise<void> {
    const { writer, fps, options } = this;
    const period_ns = NS_PER_S / fps;
    const half_tick_ns = NS_PER_S / recording.header.controller.rate_hz / 2;
    const spans = all.filter(({ from_ns, to_ns }) => to_ns - from_ns >= period_ns - half_tick_ns);
    this.dropped += all.length - spans.length;
    const left = [...spans];
    let taken = 0;
    let tick_ns = 0;
    let intervention = false;
    let newest: Observation | undefined;
    const end = (): void => {
      writer.endEpisode();
      left.shift();
      taken = 0;
    };
    for await (const event of recording.events()) {
      if (event.channel === 'observation') newest = observationOf(event);
      else if (event.channel === 'state') intervention = event.body.to === 'TELEOP';
      else if (event.channel === 'tick') tick_ns = event.body.now_ns;
      if (event.channel !== 'command' || newest === undefined) continue;
      if (left.length > 0 && tick_ns > left[0]!.to_ns) end();
      const span = left[0];
      if (span === undefined) break;
      if (tick_ns < span.from_ns + taken * period_ns - (taken > 0 ? half_tick_ns : 0)) continue;
      taken++;
      const { values, images = {} } = newest;
      for (const camera of Object.keys(images)) this.cameras.add(camera);
      const action = readNumbers(event.body.values);
      await writer.add({
        values: inHindsight(values, span, options.hindsight),
        images,
        action,
        intervention,
      });
      options.onProgress?.(writer.frames);
    }
    if (taken > 0) end();
  }
}

/** What was reached was the goal all along (Andrychowicz et al. 2017, strategy "final"). */
function inHindsight(values: Frame['values'], span: Span, hindsight: Hindsight | undefined): Frame['values'] {
  if (hindsight === undefined) return values;
  const { goal, feature, from, to } = hindsight;
  const reached = readNumbers((span.reached[feature] ?? []) as number[]).slice(from, to);
  const wanted = values[goal]?.length;
  if (reached.length !== to - from || (wanted !== undefined && wanted !== reached.length))
    throw new TendonError(
      'config_invalid',
      `hindsight: ${goal} has ${wanted ?? 'no'} values, ${feature}[${from}:${to}] gives ${reached.length}`,
    );
  return { ...values, [goal]: reached };
}
