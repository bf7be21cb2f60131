// Checkpoints by their name on the Hub, against a server that speaks its API: what is downloaded, where it lies, and what
// becomes of downloads that break off, servers that refuse, and listings that lie.

import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hubPolicy, parseHubName, policyFolder, snapshot } from '../../src/hub/index.js';
import { COMMIT, HubServer } from './hub-server.js';

const server = new HubServer();
const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const files = {
  'README.md': Buffer.from('# a policy'),
  'config.json': Buffer.from('{"type": "act"}'),
  'model.safetensors': weights,
  'policy_preprocessor.json': Buffer.from('{"steps": []}'),
  'optimizer.pt': Buffer.alloc(10),
  'assets/arm/norm_stats.json': Buffer.from('{}'),
  'training_state/optimizer_state.safetensors': Buffer.alloc(10),
};
let home = '';
const environment = { ...process.env };
const folderOf = (repo: string): string => join(home, 'hub', `models--${repo.replace('/', '--')}`);
const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
  );

beforeAll(() => server.start());
afterAll(() => server.stop());
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tendon-hub-'));
  for (const name of ['HF_HUB_CACHE', 'HF_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_OFFLINE'])
    delete process.env[name];
  process.env.HF_HOME = home;
  process.env.HF_ENDPOINT = server.endpoint;
  server.repositories.clear();
  server.repositories.set('lab/arm', new Map(Object.entries(files)));
  server.asked.length = 0;
  server.listed = [];
  server.token = undefined;
  for (const key of Object.keys(server.fault)) delete server.fault[key as 'cuts'];
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
  Object.assign(process.env, environment);
});

describe('the Hub', () => {
  it("brings what a policy needs into Python's cache, once", async () => {
    const seen: [number, number][] = [];
    const { folder, commit } = await hubPolicy('hf:lab/arm', {
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(commit).toBe(COMMIT);
    expect(folder).toBe(join(folderOf('lab/arm'), 'snapshots', COMMIT));
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(readlinkSync(join(folder, 'config.json'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(readlinkSync(join(folder, 'assets/arm/norm_stats.json'))).toMatch(/^(\.\.\/){4}blobs\//);
    expect(readFileSync(join(folderOf('lab/arm'), 'refs/main'), 'utf8')).toBe(COMMIT);
    for (const name of ['README.md', 'optimizer.pt', 'training_state'])
      expect(existsSync(join(folder, name))).toBe(false);
    const total = 300_000 + 15 + 13 + 2;
    expect(seen.at(-1)).toEqual([total, total]);
    expect(seen.every(([done], i) => i === 0 || done >= seen[i - 1]![0])).toBe(true);
    server.asked.length = 0;
    await hubPolicy('hf:lab/arm@main');
    expect(server.asked.filter(({ path }) => path.includes('resolve'))).toEqual([]);
  });

  it('goes on where a download broke off, in this run and in the next', async () => {
    const blobs = join(folderOf('lab/arm'), 'blobs');
    let before = 0;
    server.fault.cuts = [100_000, 50_000];
    server.fault.arrived = () => {
      const partial = readdirSync(blobs).find((name) => name.endsWith('.incomplete'));
      const size = partial === undefined ? 0 : statSync(join(blobs, partial)).size;
      if (size <= before) return false;
      before = size;
      return true;
    };
    await hubPolicy('hf:lab/arm');
    // Each is asked of the Hub, and of where that redirects to.
    const ranges = [...new Set(server.asked.flatMap(({ range }) => range ?? []))];
    expect(ranges).toHaveLength(2);
    expect(ranges[1]).toBe(`bytes=${before}-`);
    rmSync(home, { recursive: true });
    mkdirSync(join(folderOf('lab/arm'), 'blobs'), { recursive: true });
    const { folder } = await hubPolicy('hf:lab/arm');
    const blob = join(folder, readlinkSync(join(folder, 'model.safetensors')));
    rmSync(join(folder, 'model.safetensors'));
    rmSync(blob);
    writeFileSync(`${blob}.incomplete`, weights.subarray(0, 200_000));
    server.asked.length = 0;
    await hubPolicy('hf:lab/arm');
    expect(server.asked.map(({ range }) => range).filter(Boolean)).toContain('bytes=200000-');
    expect(readFileSync(blob).equals(weights)).toBe(true);
    // A server that cannot begin in the middle is read from the start.
    rmSync(join(folder, 'model.safetensors'));
    rmSync(blob);
    writeFileSync(`${blob}.incomplete`, weights.subarray(0, 1000));
    server.fault.whole = true;
    await hubPolicy('hf:lab/arm');
    expect(readFileSync(blob).equals(weights)).toBe(true);
  });

  it('throws away bytes that are not those that were listed', async () => {
    server.fault.wrong = true;
    expect(await failure(hubPolicy('hf:lab/arm'))).toMatch(/^file_corrupt: .*were thrown away/);
    server.fault.wrong = false;
    const { folder } = await hubPolicy('hf:lab/arm');
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('{"type": "act"}');
  });

  it('sends the token to the Hub, and to no host that it redirects to', async () => {
    server.token = 'hf_secret';
    expect(await failure(hubPolicy('hf:lab/arm'))).toMatch(/^hub_failed: .*refuses.*set HF_TOKEN/);
    process.env.HF_TOKEN = 'hf_other';
    expect(await failure(hubPolicy('hf:lab/arm'))).toMatch(/accept its conditions/);
    delete process.env.HF_TOKEN;
    writeFileSync(join(home, 'token'), 'hf_secret\n');
    server.asked.length = 0;
    await hubPolicy('hf:lab/arm');
    const tokens = (stored: boolean): boolean[] => [
      ...new Set(
        server.asked
          .filter(({ path }) => /\/(api|resolve)\//.test(path) !== stored)
          .map(({ token }) => token),
      ),
    ];
    expect(tokens(false)).toEqual([true]);
    expect(tokens(true)).toEqual([false]);
  });

  it('starts from the cache without a network, and says so', async () => {
    process.env.HF_HUB_OFFLINE = '1';
    expect(await failure(hubPolicy('hf:lab/arm'))).toMatch(/HF_HUB_OFFLINE is set, and .* not in the cache/);
    delete process.env.HF_HUB_OFFLINE;
    const { folder } = await hubPolicy('hf:lab/arm');
    process.env.HF_ENDPOINT = 'http://127.0.0.1:9';
    expect(await hubPolicy('hf:lab/arm')).toMatchObject({
      folder,
      unasked: expect.stringMatching(/cannot be reached/),
    });
    expect(await failure(hubPolicy('hf:lab/other'))).toMatch(/^hub_failed: .*cannot be reached/);
    process.env.HF_HUB_OFFLINE = '1';
    expect(await policyFolder(`hf:lab/arm@${COMMIT}`)).toBe(folder);
  });

  it('fetches the base of an adapter and the tokenizer that is named', async () => {
    server.repositories.set(
      'lab/lora',
      new Map([
        ['adapter_config.json', Buffer.from('{"base_model_name_or_path": "lab/arm"}')],
        ['adapter_model.safetensors', weights],
        ['config.json', Buffer.from('{"type": "smolvla", "vlm_model_name": "big/model"}')],
      ]),
    );
    server.repositories.set(
      'big/model',
      new Map([
        ['tokenizer.json', Buffer.from('{}')],
        ['model.safetensors', weights],
        ['config.json', Buffer.from('{}')],
      ]),
    );
    expect((await hubPolicy('hf:lab/lora')).missed).toEqual([]);
    expect(existsSync(join(folderOf('lab/arm'), 'snapshots', COMMIT, 'model.safetensors'))).toBe(true);
    expect(existsSync(join(folderOf('big/model'), 'snapshots', COMMIT, 'tokenizer.json'))).toBe(true);
    expect(existsSync(join(folderOf('big/model'), 'snapshots', COMMIT, 'model.safetensors'))).toBe(false);
    rmSync(folderOf('big/model'), { recursive: true });
    server.repositories.delete('big/model');
    expect((await hubPolicy('hf:lab/lora')).missed).toEqual([
      expect.stringMatching(/^the tokenizer of big\/model: .* has no hf:big\/model/),
    ]);
  });

  it('is what a command takes in the place of a folder', async () => {
    const model = fileURLToPath(new URL('../../models/arm', import.meta.url));
    const read = (name: string): [string, Buffer] => [name, readFileSync(join(model, name))];
    server.repositories.set('lab/arm', new Map(readdirSync(model).map(read)));
    const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    // The server runs in this process, which must not wait for the command.
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [main, 'check', 'hf:lab/arm']);
    expect(stderr).toContain(`hf:lab/arm is commit ${COMMIT}; hf:lab/arm@${COMMIT} stays with it`);
    expect(stdout).toContain(`${folderOf('lab/arm')}/snapshots/${COMMIT}: `);
    expect(stdout).toMatch(/all right/);
  });

  it('refuses names, revisions and listings by what is wrong with them', async () => {
    for (const name of [
      'hf:arm',
      'hf:../arm',
      'hf:lab/arm@',
      'hf:lab/arm@../x',
      'hf:lab/arm@a@b',
      'hf:a/b/c',
      'lab/arm',
    ])
      expect(() => parseHubName(name), name).toThrow(/expected a checkpoint on the Hub as hf:OWNER\/NAME/);
    expect(await failure(hubPolicy('hf:lab/none'))).toMatch(/^hub_failed: .*check the owner/);
    expect(await failure(hubPolicy('hf:lab/arm@none'))).toMatch(/^hub_failed: .*hf:lab\/arm@none/);
    for (const path of ['../../escape.json', '/etc/x.json', 'a/../../x.json', 'a\\b.json']) {
      server.listed = [path];
      expect(await failure(hubPolicy('hf:lab/arm')), path).toMatch(/^file_unsafe: /);
    }
    server.listed = [];
    server.repositories.set('lab/empty', new Map([['README.md', Buffer.from('x')]]));
    expect(await failure(hubPolicy('hf:lab/empty'))).toMatch(/none of the files .* README\.md/);
    expect(await failure(snapshot(parseHubName('hf:lab/arm'), { signal: AbortSignal.abort() }))).toMatch(
      /abort/i,
    );
  });
});
