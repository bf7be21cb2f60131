import type { ExportOptions, ExportReport } from './dataset/export.js';

export { type AnsweredChunk, answeredChunk } from './answered.js';
export type { ExportOptions, ExportReport, Hindsight } from './dataset/export.js';
export { SELECTIONS, type Selection } from './dataset/spans.js';
export { CHANNELS, type RecordedEvent, type SessionHeader, type SessionSummary } from './events.js';
export { recordedRuns } from './experience.js';
export { headerOf, type SessionFacts } from './header.js';
export { observationOf, Recording, summarise } from './read.js';
export { type RecorderOptions, SessionRecorder } from './recorder.js';
export { type ReplayOptions, replay } from './replay.js';
export type { ReplayReport } from './replayer.js';

/** Recordings as a LeRobot dataset (dataset/export.ts), whose writers are loaded for it. */
export async function exportDataset(files: readonly string[], options: ExportOptions): Promise<ExportReport> {
  return (await import('./dataset/export.js')).exportDataset(files, options);
}
