// A checkpoint of the Hub as a folder on this machine: the files that a policy needs, at one commit.

import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { readUserText } from '../base/files.js';
import { TendonError } from '../types/index.js';
import { cachedSnapshot, hubHome, rememberCommit, repositoryFolder } from './cache.js';
import { download, reasonOf } from './download.js';
import { neededFiles } from './files.js';
import type { HubName } from './name.js';

export interface SnapshotOptions {
  /** Nothing is asked of the network; the cache has to have it. Default: whether HF_HUB_OFFLINE is set. */
  readonly offline?: boolean;
  /** Default: HF_TOKEN, or the file that `hf auth login` writes. */
  readonly token?: string | undefined;
  /** Default: HF_ENDPOINT, or https://huggingface.co. */
  readonly endpoint?: string;
  readonly signal?: AbortSignal;
  /** Of all files together: bytes that are here, bytes in all, and the file that is being received. */
  readonly onProgress?: (done: number, total: number, file: string) => void;
  /** Which of a repository's paths are wanted. Default: what a policy needs. */
  readonly files?: (paths: readonly string[]) => readonly string[];
}

export interface Snapshot {
  readonly folder: string;
  /** The commit whose files these are, 40 hexadecimal digits. */
  readonly commit: string;
  /** Why the cache was taken without asking the Hub; undefined when the Hub was asked. */
  readonly unasked?: string;
}

interface Listed {
  readonly path: string;
  readonly size: number;
  readonly oid?: string;
  readonly lfs?: { readonly oid: string; readonly size: number };
}

/**
 * Brings a repository's files into the cache and says where they are. What is there already is not downloaded again.
 * Throws `hub_failed` with what the Hub said and what to do, `file_corrupt` for bytes that are not those listed.
 */
export async function snapshot(name: HubName, options: SnapshotOptions = {}): Promise<Snapshot> {
  const { offline = isSet(process.env.HF_HUB_OFFLINE) } = options;
  if (offline) return fromCache(name, 'HF_HUB_OFFLINE is set');
  const hub = {
    endpoint: (options.endpoint ?? process.env.HF_ENDPOINT ?? 'https://huggingface.co').replace(/\/+$/, ''),
    token: options.token ?? tokenOf(),
  };
  let listing: { readonly commit: string; readonly files: readonly Listed[] };
  try {
    listing = await list(name, hub);
  } catch (cause) {
    const status = (cause as { statusCode?: number }).statusCode;
    // Without a network the robot starts with what it has; a refusal is an answer and is told.
    if (status === undefined && !(cause instanceof TendonError) && cachedSnapshot(name) !== undefined)
      return fromCache(name, `${hub.endpoint} cannot be reached (${reasonOf(cause)})`);
    throw refusal(name, hub, status, cause);
  }
  const { commit, files } = listing;
  const wanted = new Set((options.files ?? neededFiles)(files.map(({ path }) => path)));
  const chosen = files.filter(({ path }) => wanted.has(path));
  if (chosen.length === 0)
    throw new TendonError(
      'hub_failed',
      `hf:${name.repo}@${name.revision} has none of the files that a policy is read from; it has ${files.length}: ${files
        .slice(0, 10)
        .map(({ path }) => path)
        .join(', ')}`,
      { repo: name.repo },
    );
  const folder = join(repositoryFolder(name.repo), 'snapshots', commit);
  const total = chosen.reduce((sum, file) => sum + sizeOf(file), 0);
  let before = 0;
  for (const file of chosen) {
    const url = `${hub.endpoint}/${name.repo}/resolve/${commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
    await place(file, url, folder, {
      token: hub.token,
      signal: options.signal,
      onBytes: (received) => options.onProgress?.(before + received, total, file.path),
    });
    before += sizeOf(file);
    options.onProgress?.(before, total, file.path);
  }
  rememberCommit(name, commit);
  return { folder, commit };
}

function fromCache(name: HubName, unasked: string): Snapshot {
  const cached = cachedSnapshot(name);
  if (cached === undefined)
    throw new TendonError(
      'hub_failed',
      `${unasked}, and hf:${name.repo}@${name.revision} is not in the cache (${repositoryFolder(name.repo)}); run this once with a network, or copy that folder from a machine that has it`,
      { repo: name.repo },
    );
  return { ...cached, unasked };
}

/** The commit that a revision is at, and what is in it. */
async function list(
  { repo, revision }: HubName,
  { endpoint, token }: { readonly endpoint: string; readonly token: string | undefined },
): Promise<{ readonly commit: string; readonly files: readonly Listed[] }> {
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const asked = { hubUrl: endpoint, ...(token === undefined ? {} : { accessToken: token }) };
  const { sha: commit } = await modelInfo({ ...asked, name: repo, revision, additionalFields: ['sha'] });
  if (!/^[0-9a-f]{40}$/.test(commit))
    throw new TendonError('hub_failed', `${endpoint}: expected a commit of ${repo}, got ${commit}`, { repo });
  const files: Listed[] = [];
  for await (const entry of listFiles({ ...asked, repo, revision: commit, recursive: true })) {
    if (entry.type !== 'file') continue;
    if (!isInside(entry.path) || !Number.isSafeInteger(entry.size) || files.length >= 10_000)
      throw new TendonError(
        'file_unsafe',
        `${endpoint}: ${repo} lists what no repository has: ${entry.path}`,
        {
          repo,
        },
      );
    files.push(entry);
  }
  return { commit, files };
}

/** A path that stays in its folder. */
function isInside(path: string): boolean {
  return path !== '' && !/[\\\0]|^\//.test(path) && !path.split('/').some((part) => /^\.{0,2}$/.test(part));
}

function sizeOf(file: Listed): number {
  return file.lfs?.size ?? file.size;
}

/** The file's bytes as a blob, and its path as a link to it. */
async function place(
  file: Listed,
  url: string,
  folder: string,
  options: Parameters<typeof download>[2],
): Promise<void> {
  const path = join(folder, file.path);
  if (existsSync(path)) return;
  const value = file.lfs?.oid ?? file.oid ?? '';
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(value))
    throw new TendonError('hub_failed', `${url}: the Hub lists no hash of it`, { url });
  const blob = join(dirname(dirname(folder)), 'blobs', value);
  const kind = file.lfs === undefined ? 'git' : 'sha256';
  await download({ url, size: sizeOf(file), hash: { kind, value } }, blob, options);
  mkdirSync(dirname(path), { recursive: true });
  // Relative, as huggingface_hub links, so that the cache can be moved.
  symlinkSync(relative(dirname(path), blob), path);
}

function refusal(
  { repo, revision }: HubName,
  { endpoint, token }: { readonly endpoint: string; readonly token: string | undefined },
  status: number | undefined,
  cause: unknown,
): TendonError {
  if (cause instanceof TendonError) return cause;
  const name = `hf:${repo}@${revision}`;
  const text =
    status === undefined
      ? `${endpoint} cannot be reached (${reasonOf(cause)}), and ${name} is not in the cache; HF_ENDPOINT names another server`
      : status === 401 || status === 403
        ? `${endpoint} refuses ${name} (${status}): ${token === undefined ? 'it may be private or gated; set HF_TOKEN, or run `hf auth login`' : 'the token that was sent may not read it; accept its conditions on the page of the model, with the account of the token'}`
        : status === 404
          ? `${endpoint} has no ${name}: check the owner, the name and the revision`
          : `${endpoint} answered ${status} for ${name}; try again later`;
  return new TendonError('hub_failed', text, { repo, revision, status }, { cause });
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && /^(1|on|true|yes)$/i.test(value);
}

/** HF_TOKEN, or the file that `hf auth login` writes. */
function tokenOf(): string | undefined {
  const { HF_TOKEN, HF_TOKEN_PATH } = process.env;
  if (HF_TOKEN) return HF_TOKEN.trim();
  const file = HF_TOKEN_PATH || join(hubHome(), 'token');
  return existsSync(file) ? readUserText(file, 'secret').trim() || undefined : undefined;
}
