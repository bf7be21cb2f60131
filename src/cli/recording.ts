// `--record`: the recorder of a session, for the commands that run one.

import { resolve } from 'node:path';
import { isFolder, type OpenedPolicy } from '../eval/open-policy.js';
import { addon, native } from '../native/index.js';
import { headerOf, type SessionFacts, SessionRecorder } from '../record/index.js';
import type { OptionSpec } from './command.js';

export const RECORD_OPTION = {
  record: {
    type: 'string',
    help: 'new file (.mcap) that gets everything for replay, Foxglove and data sets',
  },
} as const satisfies Record<string, OptionSpec>;

/** The tap for the controller to be made of `facts.controller`; undefined without a file. */
export async function openRecorder(
  file: string | undefined,
  facts: Omit<SessionFacts, 'isa'>,
  policy: OpenedPolicy,
  note: (sentence: string) => void = () => undefined,
): Promise<SessionRecorder | undefined> {
  if (file === undefined) return undefined;
  const isa = native(() => addon().isa(facts.load.isa ?? ''));
  const options = {
    file,
    header: headerOf({
      ...facts,
      isa,
      policy: isFolder(facts.policy) ? resolve(facts.policy) : facts.policy,
    }),
    choice: () => policy.choice,
    onFailure: note,
  };
  return SessionRecorder.open(options, () => facts.controller.clock.now_ns());
}
