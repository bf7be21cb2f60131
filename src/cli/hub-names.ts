// A checkpoint named hf:OWNER/NAME@REVISION becomes its folder in the cache, for every command alike.

import { hubPolicy, isHubName } from '../hub/index.js';
import type { Values } from './command.js';
import { counter } from './progress.js';

/** Options whose value is a checkpoint's folder. */
const FOLDERS = ['policy', 'base', 'tokenizer'] as const;

/** The options with folders in the place of names on the Hub; says on stderr which commit each is. */
export async function withFolders(values: Values): Promise<Values> {
  const folders: Record<string, string> = {};
  for (const option of FOLDERS) {
    const name = values[option];
    if (typeof name === 'string' && isHubName(name)) folders[option] = await folderOf(name);
  }
  return { ...values, ...folders };
}

async function folderOf(name: string): Promise<string> {
  let line: ReturnType<typeof counter> | undefined;
  try {
    const { folder, commit, unasked, missed } = await hubPolicy(name, {
      onProgress(done, total, file) {
        line ??= counter(total);
        line.at(done, `${(done / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB, ${file}`);
      },
    });
    line?.end();
    const pinned = `${name.split('@')[0]}@${commit}`;
    const notes = [
      `${name} is commit ${commit}${name === pinned ? '' : `; ${pinned} stays with it`}`,
      ...(unasked === undefined ? [] : [`from the cache: ${unasked}`]),
      ...missed.map((what) => `not fetched: ${what}`),
    ];
    for (const note of notes) process.stderr.write(`  ${note}\n`);
    return folder;
  } finally {
    line?.end();
  }
}
