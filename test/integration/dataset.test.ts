// A LeRobotDataset out of recordings, read back by readers that are not ours: arrow-rs for the tables, ffprobe for the
// video. The recordings are those of a real session and of one with a camera.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ReadEvent, Recording } from '../../src/record/read.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'dist/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'tendon-dataset-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

const { readParquet } = createRequire(import.meta.url)('parquet-wasm') as {
  readParquet(bytes: Uint8Array): { intoIPCStream(): Uint8Array };
};

interface Table {
  readonly rows: Record<string, unknown>[];
  readonly types: Record<string, string>;
  readonly metadata: Map<string, string>;
}

function readTable(file: string): Table {
  const table = tableFromIPC(readParquet(readFileSync(file)).intoIPCStream());
  const plain = (value: unknown): unknown =>
    typeof value === 'bigint'
      ? Number(value)
      : typeof value === 'object' && value !== null
        ? Array.from(value as Iterable<unknown>, plain)
        : value;
  return {
    rows: table
      .toArray()
      .map((row) =>
        Object.fromEntries(Object.entries(row.toJSON() as object).map(([key, value]) => [key, plain(value)])),
      ),
    types: Object.fromEntries(table.schema.fields.map(({ name, type }) => [name, String(type)])),
    metadata: table.schema.metadata,
  };
}

function tendon(args: string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', timeout: 60_000 });
}

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

describe('tendon export of a session', () => {
  const file = at('session.mcap');
  const out = at('dataset');
  let data: Table;
  const events: ReadEvent[] = [];
  /** Whether each episode succeeded: a busy machine may cost one its success, which is nothing to a dataset. */
  const outcomes = (): boolean[] => events.flatMap((e) => (e.channel === 'episode' ? [e.body.success] : []));

  beforeAll(async () => {
    const start = ['start', '--headless', '--episodes', '2', '--steps', '2', '--threads', '1'];
    expect(tendon([...start, '--record', file]).stderr).toBe('');
    const { status, stderr, stdout } = tendon(['export', file, '--out', out, '--task', 'place the peg']);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/2 episodes, \d+ frames at 20 Hz/);
    data = readTable(join(out, 'data/chunk-000/file-000.parquet'));
    for await (const event of (await Recording.open(file)).events()) events.push(event);
  }, 60_000);

  test('every frame is an observation and the command of one tick of the recording', () => {
    let newest: unknown;
    const seen = new Set<string>();
    for (const { channel, body } of events)
      if (channel === 'observation') newest = (body.values['observation.state'] as number[]).map(Math.fround);
      else if (channel === 'command')
        seen.add(JSON.stringify([newest, (body.values as number[]).map(Math.fround)]));
    expect(data.rows.length).toBeGreaterThan(40);
    for (const row of data.rows)
      expect(seen).toContain(JSON.stringify([row['observation.state'], row.action]));
    expect(data.types).toMatchObject({
      action: 'List<Float32>',
      timestamp: 'Float32',
      index: 'Int64',
      is_intervention: 'Bool',
    });
  });

  test('episodes, indices and times follow one another', () => {
    const { rows } = readTable(join(out, 'meta/episodes/chunk-000/file-000.parquet'));
    expect(rows.map((r) => r.episode_index)).toEqual([0, 1]);
    expect(rows[0]).toMatchObject({ dataset_from_index: 0, tasks: ['place the peg'], 'data/file_index': 0 });
    expect(rows[1]!.dataset_from_index).toBe(rows[0]!.dataset_to_index);
    expect(rows[1]!.dataset_to_index).toBe(data.rows.length);
    data.rows.forEach((row, i) => {
      const episode = rows[row.episode_index as number]!;
      expect(row.index).toBe(i);
      expect(row.frame_index).toBe(i - (episode.dataset_from_index as number));
      expect(row.timestamp).toBeCloseTo((row.frame_index as number) / 20, 5);
    });
    const tasks = readTable(join(out, 'meta/tasks.parquet'));
    expect(tasks.rows).toEqual([{ task_index: 0, task: 'place the peg' }]);
    expect(JSON.parse(tasks.metadata.get('pandas')!).index_columns).toEqual(['task']);
    const info = json(join(out, 'meta/info.json'));
    expect(info).toMatchObject({ codebase_version: 'v3.0', total_episodes: 2, fps: 20, video_path: null });
    expect(info.total_frames).toBe(data.rows.length);
    expect(Object.keys(info.features).sort()).toEqual(Object.keys(data.types).sort());
  });

  test('statistics are those of the rows', () => {
    const stats = json(join(out, 'meta/stats.json'));
    for (const key of ['observation.state', 'action', 'timestamp']) {
      const rows = data.rows.map((row) => [row[key]].flat() as number[]);
      rows[0]!.forEach((_, i) => {
        const column = rows.map((row) => row[i]!).sort((a, b) => a - b);
        const mean = column.reduce((a, b) => a + b) / column.length;
        const std = Math.sqrt(column.reduce((a, b) => a + (b - mean) ** 2, 0) / column.length);
        expect(stats[key].min[i]).toBe(column[0]);
        expect(stats[key].max[i]).toBe(column.at(-1));
        expect(stats[key].mean[i]).toBeCloseTo(mean, 9);
        expect(stats[key].std[i]).toBeCloseTo(std, 9);
        expect(stats[key].q50[i]).toBeGreaterThanOrEqual(column[Math.floor((column.length - 1) / 2)]!);
        expect(stats[key].q50[i]).toBeLessThanOrEqual(column[Math.ceil((column.length - 1) / 2)]!);
      });
      expect(stats[key].count).toEqual([data.rows.length]);
    }
  });

  test('successes only, hindsight, and what is refused', () => {
    const won = outcomes().filter(Boolean).length;
    const args = ['export', file, '--hindsight', 'goal=joint_position[0:2]'];
    const only = tendon([...args, '--only', 'successes', '--out', at('successes')]);
    if (won === 0) expect(only.stderr).toContain('nothing to export');
    else {
      const { rows } = readTable(at('successes/data/chunk-000/file-000.parquet'));
      expect(new Set(rows.map((r) => r.episode_index)).size).toBe(won);
    }
    expect(tendon([...args, '--out', at('hindsight')]).status).toBe(0);
    const { rows } = readTable(at('hindsight/data/chunk-000/file-000.parquet'));
    for (const episode of new Set(rows.map((r) => r.episode_index))) {
      const goals = rows.filter((r) => r.episode_index === episode).map((r) => String(r.goal));
      expect(new Set(goals).size).toBe(1);
    }
    expect(tendon(['export', file, '--out', out]).stderr).toContain('never written over');
    expect(tendon(['export', file, '--out', at('none'), '--only', 'interventions']).stderr).toContain(
      'nothing to export',
    );
    expect(tendon([...args, '--out', at('b'), '--hindsight', 'goal=joint_position[0:3]']).stderr).toContain(
      'goal has 2 values',
    );
  });

  test('tendon sessions lists it, and says of a file that is none what it is', () => {
    const { stdout, status } = tendon(['sessions', folder]);
    expect(stdout).toMatch(
      new RegExp(
        `session\\.mcap +\\d{4}-.* sim-arm +edm +\\d+\\.\\d +${outcomes().filter(Boolean).length}/2 +0`,
      ),
    );
    expect(status).toBe(0);
    expect(tendon(['sessions', main]).stdout).toContain('not a recording');
  });
});

const ffmpeg = spawnSync('ffmpeg', ['-version']).status === 0;

describe.skipIf(!ffmpeg)('cameras (needs ffmpeg)', () => {
  test('become one video with a frame per row, and statistics of their pixels', async () => {
    const built = <T>(path: string): Promise<T> => import(join(root, 'dist', path)) as Promise<T>;
    const { SessionRecorder, exportDataset } =
      await built<typeof import('../../src/record/index.js')>('record/index.js');
    const header = {
      robot: 'cam',
      joint_names: ['a'],
      observation_dims: { position: 1 },
      action_dim: 1,
      policy: { dir: '/nowhere', family: 'none', n_obs_steps: 1, n_action_steps: 1, horizon: 1, rate_hz: 10 },
      load: {},
      isa: 'reference',
      seed: 0,
      controller: {
        rate_hz: 20,
        position_key: 'position',
        limits: { lower: [-1], upper: [1], velocity: [1] },
        freshness_ms: 100,
        inference_ms: 100,
        lifetime_ms: 100,
      },
    };
    const file = at('camera.mcap');
    const recorder = await SessionRecorder.open({ file, header }, () => 0);
    const engage: ((change: object) => void)[] = [];
    recorder.watch({ supervisor: { onChange: (l: never) => engage.push(l), interventions: 0 } } as never);
    for (const tell of engage) tell({ from: 'READY', to: 'TELEOP', cause: '' });
    for (let i = 0; i < 40; i++) {
      const now_ns = i * 50e6;
      const data = new Uint8Array(64 * 48 * 3).map((_, k) => (k % 3 === 0 ? i * 6 : 100));
      recorder.tick(now_ns, 0, {
        stamp_ns: now_ns,
        values: { position: Float32Array.of(i) },
        images: { 'observation.images.front': { width: 64, height: 48, channels: 3, data } },
      });
      recorder.command(Float64Array.of(i), now_ns + 1e8, 'sent');
    }
    await recorder.close();
    const out = at('camera');
    const report = await exportDataset([file], { dir: out, selection: 'interventions' });
    expect(report).toMatchObject({ episodes: 1, frames: 20, fps: 10, cameras_left_out: [] });
    const video = join(out, 'videos/observation.images.front/chunk-000/file-000.mp4');
    const probe = spawnSync(
      'ffprobe',
      ['-v', 'error', '-count_frames', '-show_streams', '-of', 'json', video],
      { encoding: 'utf8' },
    );
    const stream = JSON.parse(probe.stdout).streams[0];
    expect(stream).toMatchObject({ width: 64, height: 48, nb_read_frames: '20', r_frame_rate: '10/1' });
    const { features } = json(join(out, 'meta/info.json'));
    expect(features['observation.images.front']).toMatchObject({ dtype: 'video', shape: [48, 64, 3] });
    expect(features['observation.images.front'].info['video.codec']).toBe(stream.codec_name);
    const stats = json(join(out, 'meta/stats.json'))['observation.images.front'];
    expect(stats.max[0][0][0]).toBeCloseTo((38 * 6) / 255, 6);
    expect(stats.mean[1][0][0]).toBeCloseTo(100 / 255, 6);
    const { rows } = readTable(join(out, 'data/chunk-000/file-000.parquet'));
    expect(rows.map((r) => r.action)).toEqual(Array.from({ length: 20 }, (_, i) => 2 * i));
    expect(rows.every((r) => r.is_intervention === true)).toBe(true);
  });
});
