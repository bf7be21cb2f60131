// The cache of the Python package huggingface_hub (version 1.x, "Understand caching"), so that what either of the two
// downloaded serves both:
//
//   models--OWNER--NAME/refs/REVISION            the commit that a branch or tag was last seen at
//   models--OWNER--NAME/blobs/HASH               a file's bytes, by SHA-256 (large files) or git's SHA-1
//   models--OWNER--NAME/snapshots/COMMIT/PATH    links into blobs

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { readUserText } from '../base/files.js';
import { type HubName, isRevision } from './name.js';

const COMMIT = /^[0-9a-f]{40}$/;

/** Where the environment puts the Hub's files: HF_HOME, or XDG_CACHE_HOME/huggingface, or ~/.cache/huggingface. */
export function hubHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  return HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
}

/** The folder of a repository in the cache: HF_HUB_CACHE, or `hub` in {@link hubHome}. */
export function repositoryFolder(repo: string): string {
  const cache = process.env.HF_HUB_CACHE || join(hubHome(), 'hub');
  return join(cache, `models--${repo.replace('/', '--')}`);
}

/** Where a revision's files are in the cache, and at which commit; undefined where they are not. */
export function cachedSnapshot({
  repo,
  revision,
}: HubName): { readonly folder: string; readonly commit: string } | undefined {
  if (!isRevision(revision)) return undefined;
  const repository = repositoryFolder(repo);
  const ref = join(repository, 'refs', revision);
  // A branch or tag by its name, or a commit itself.
  const commit = existsSync(ref) ? readUserText(ref, 'secret').trim() : revision;
  const folder = join(repository, 'snapshots', commit);
  return /^[\w-][\w.-]*$/.test(commit) && existsSync(folder) ? { folder, commit } : undefined;
}

/** Writes down which commit a branch or tag was found at. */
export function rememberCommit({ repo, revision }: HubName, commit: string): void {
  if (COMMIT.test(revision)) return;
  const ref = join(repositoryFolder(repo), 'refs', revision);
  mkdirSync(dirname(ref), { recursive: true });
  writeFileSync(ref, commit);
}
