// One file from the Hub into the cache: goes on where a download broke off, and is given its name only when its hash is right.

import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TendonError } from '../types/index.js';

export interface RemoteFile {
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  /** Lower case hexadecimal: SHA-256 of the bytes, or git's SHA-1 of a blob. */
  readonly hash: { readonly kind: 'sha256' | 'git'; readonly value: string };
}

export interface DownloadOptions {
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of this file that are here so far. */
  readonly onBytes?: (received: number) => void;
  /** How often a broken connection is tried again before the download fails. Default 5. */
  readonly retries?: number;
  /** A connection that is silent for so long is broken, ms. Default 30 000. */
  readonly silence_ms?: number;
}

/** A failure that may be over at the next try. */
class Broken extends Error {}

/**
 * Downloads `file` to the path `to`. What arrived before a failure stays in `to.incomplete`, as huggingface_hub leaves it.
 * Throws `hub_failed` when the server refuses or stays away, `file_corrupt` when the bytes are not those that were listed.
 */
export async function download(file: RemoteFile, to: string, options: DownloadOptions = {}): Promise<void> {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  const partial = `${to}.incomplete`;
  const { retries = 5 } = options;
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      await receive(file, partial, options);
      break;
    } catch (cause) {
      if (!(cause instanceof Broken)) throw cause;
      if (attempt >= retries)
        throw new TendonError(
          'hub_failed',
          `${file.url}: the download broke off ${attempt + 1} times (${cause.message}); what arrived is kept, and the next try goes on from there`,
          { url: file.url },
          { cause },
        );
      await new Promise((resolve) => setTimeout(resolve, Math.min(8000, 250 * 2 ** attempt)));
    }
  }
  renameSync(partial, to);
}

/** Fills `partial` to its end and checks the whole. */
async function receive(file: RemoteFile, partial: string, options: DownloadOptions): Promise<void> {
  const handle = await open(partial, 'a');
  try {
    let received = statSync(partial).size;
    if (received > file.size) received = await truncated(handle);
    let hash = await hashOf(file, partial, received);
    if (received < file.size) {
      const { body, from } = await request(file, received, options);
      if (from !== received) {
        received = await truncated(handle);
        hash = await hashOf(file, partial, 0);
      }
      for await (const bytes of body) {
        received += bytes.length;
        if (received > file.size) break;
        hash.update(bytes);
        await handle.write(bytes);
        options.onBytes?.(received);
      }
      if (received < file.size) throw new Broken(`${received} of ${file.size} bytes arrived`);
    }
    if (received === file.size && hash.digest('hex') === file.hash.value) return;
    await truncated(handle);
    throw new TendonError(
      'file_corrupt',
      `${file.url}: the ${received} bytes that arrived are not the ${file.size} that the Hub lists (${file.hash.kind} ${file.hash.value}); they were thrown away. Try again; if it stays so, something between here and the Hub changes files`,
      { url: file.url },
    );
  } finally {
    await handle.close();
  }
}

async function truncated(handle: { truncate(length: number): Promise<void> }): Promise<0> {
  await handle.truncate(0);
  return 0;
}

/** The hash of the first bytes of a file, to go on with. Git hashes a blob behind its length. */
async function hashOf(file: RemoteFile, path: string, bytes: number): Promise<Hash> {
  const hash = createHash(file.hash.kind === 'git' ? 'sha1' : 'sha256');
  if (file.hash.kind === 'git') hash.update(`blob ${file.size}\0`);
  if (bytes > 0) for await (const piece of createReadStream(path, { end: bytes - 1 })) hash.update(piece);
  return hash;
}

/** The answer from byte `start` on, or from 0 where the server cannot do that. */
async function request(
  file: RemoteFile,
  start: number,
  { token, signal, silence_ms = 30_000 }: DownloadOptions,
): Promise<{ readonly from: number; readonly body: AsyncIterable<Uint8Array> }> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), silence_ms);
  const broken = (cause: unknown): unknown =>
    signal?.aborted === true || cause instanceof TendonError
      ? cause
      : new Broken(silent.signal.aborted ? `nothing arrived for ${silence_ms} ms` : reasonOf(cause));
  try {
    // fetch sends the token to the Hub alone, not to another host that it redirects to.
    const response = await fetch(file.url, {
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(start > 0 ? { range: `bytes=${start}-` } : {}),
        // A file that was packed on its way would not be the bytes that were listed.
        'accept-encoding': 'identity',
      },
      signal: signal === undefined ? silent.signal : AbortSignal.any([signal, silent.signal]),
    });
    if (response.status >= 500 || response.status === 429) throw new Broken(`status ${response.status}`);
    if (!response.ok || response.body === null)
      throw new TendonError('hub_failed', `${file.url}: the server answered ${response.status}`, {
        url: file.url,
        status: response.status,
      });
    const from =
      response.status === 206
        ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? 0)
        : 0;
    const { body } = response;
    return {
      from,
      body: (async function* () {
        try {
          for await (const bytes of body) {
            clearTimeout(timer);
            timer = setTimeout(() => silent.abort(), silence_ms);
            yield bytes as Uint8Array;
          }
        } catch (cause) {
          throw broken(cause);
        } finally {
          clearTimeout(timer);
        }
      })(),
    };
  } catch (cause) {
    clearTimeout(timer);
    throw broken(cause);
  }
}

/** fetch hides why a connection failed in the cause of its error. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}
