// Names of checkpoints on the Hugging Face Hub: hf:OWNER/NAME, with @REVISION for a branch, a tag or a commit.

import { TendonError } from '../types/index.js';

/** A model repository at a revision. */
export interface HubName {
  /** `owner/name`. */
  readonly repo: string;
  /** A branch, a tag or a commit of 40 hexadecimal digits. */
  readonly revision: string;
}

const PREFIX = 'hf:';
const REPOSITORY = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;
const REVISION = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)*$/;

/** Whether a text names a checkpoint on the Hub rather than a folder. */
export function isHubName(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** Whether a text is `owner/name`, as configurations name a repository. */
export function isRepository(text: string): boolean {
  return REPOSITORY.test(text) && !text.includes('..');
}

/** Whether a text can be a branch, a tag or a commit, and stays inside a folder as a path. */
export function isRevision(text: string): boolean {
  return REVISION.test(text) && !text.includes('..');
}

/** Reads `hf:owner/name[@revision]`; the revision is `main` where none is given. Throws `config_invalid`. */
export function parseHubName(text: string): HubName {
  const [repo = '', revision = 'main', ...rest] = text.slice(PREFIX.length).split('@');
  if (!isHubName(text) || rest.length > 0 || !isRepository(repo) || !isRevision(revision))
    throw new TendonError(
      'config_invalid',
      `expected a checkpoint on the Hub as hf:OWNER/NAME or hf:OWNER/NAME@REVISION, as in hf:lerobot/smolvla_base@main; got ${JSON.stringify(text)}`,
      { name: text },
    );
  return { repo, revision };
}
