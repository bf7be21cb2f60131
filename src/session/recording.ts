// The recorder of a session.

import { resolve } from 'node:path';
import { isFolder, type OpenedPolicy } from '../eval/open-policy.js';
import { addon, native } from '../native/index.js';
import { headerOf, type SessionFacts, SessionRecorder } from '../record/index.js';
import { isSteered } from '../types/index.js';

/** The tap for the controller to be made of `facts.controller`; undefined without a file. */
export async function openRecorder(
  file: string | undefined,
  facts: Omit<SessionFacts, 'isa'>,
  policy: OpenedPolicy,
  note: (sentence: string) => void = () => undefined,
): Promise<SessionRecorder | undefined> {
  if (file === undefined) return undefined;
  const isa = native(() => addon().isa(facts.load.compute?.isa ?? ''));
  const options = {
    file,
    header: headerOf({
      ...facts,
      isa,
      policy: isFolder(facts.policy) ? resolve(facts.policy) : facts.policy,
    }),
    choice: () => policy.choice,
    setting: () => (isSteered(policy) ? policy.setting : undefined),
    onFailure: note,
  };
  return SessionRecorder.open(options, () => facts.controller.clock.now_ns());
}
