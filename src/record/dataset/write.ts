// A LeRobotDataset v3.0 (codebase_version "v3.0"): frames in parquet, episodes and tasks beside them, statistics and a
// description in JSON, cameras as video. Facts: lerobot/datasets (dataset_writer.py, io_utils.py, compute_stats.py).

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Image, TendonError } from '../../types/index.js';
import { type Column, type Type, table } from './parquet.js';
import { PixelStats, type Stats, statsOf } from './stats.js';
import { type Codec, VideoWriter } from './video.js';

export interface Frame {
  /** Features by key, (dim) each. */
  readonly values: Readonly<Record<string, ArrayLike<number>>>;
  readonly images: Readonly<Record<string, Image>>;
  readonly action: ArrayLike<number>;
  readonly intervention: boolean;
}

export interface DatasetOptions {
  /** Must not exist yet. */
  readonly dir: string;
  readonly fps: number;
  readonly robot_type: string;
  readonly joint_names: readonly string[];
  readonly task: string;
  /** Without any cameras are left out. */
  readonly codecs: readonly Codec[];
}

/** Rows of one parquet file before the next is begun; LeRobot's 100 MB of some 250 numbers each. */
const MOST_ROWS = 100_000;
const DATA = 'data/chunk-000/file-{}.parquet';
const EPISODES = 'meta/episodes/chunk-000/file-000.parquet';

interface Episode {
  readonly length: number;
  readonly from: number;
  readonly file: number;
  readonly stats: Readonly<Record<string, Stats>>;
  readonly videos: Readonly<Record<string, number>>;
}

export class DatasetWriter {
  private readonly episodes: Episode[] = [];
  private readonly rows: Record<string, unknown[]> = {};
  private readonly all: Record<string, ArrayLike<number>[]> = {};
  private readonly videos: Record<string, VideoWriter> = {};
  private readonly pixels: Record<string, PixelStats> = {};
  private episode: Record<string, ArrayLike<number>[]> = {};
  private starts: Record<string, number> = {};
  private file = 0;
  private total = 0;

  constructor(private readonly options: DatasetOptions) {
    if (existsSync(options.dir))
      throw new TendonError(
        'config_invalid',
        `${options.dir} exists: a data set is never written over; name another folder`,
        { dir: options.dir },
      );
    mkdirSync(options.dir, { recursive: true });
  }

  get frames(): number {
    return this.total;
  }

  get n_episodes(): number {
    return this.episodes.length;
  }

  async add({ values, images, action, intervention }: Frame): Promise<void> {
    const index = this.episode.action?.length ?? 0;
    const numbers = {
      ...values,
      action,
      is_intervention: [Number(intervention)],
      timestamp: [index / this.options.fps],
      frame_index: [index],
      episode_index: [this.episodes.length],
      index: [this.total],
      task_index: [0],
    };
    for (const [key, value] of Object.entries(numbers)) {
      const exact = INTEGERS.has(key) ? Float64Array.from(value) : Float32Array.from(value);
      append(this.episode, key, [exact]);
      append(this.rows, key, [cell(key, value)]);
    }
    this.total++;
    if (this.options.codecs.length > 0)
      for (const [key, image] of Object.entries(images)) await this.frame(key, image, index);
  }

  /** Ends the episode; throws `input_invalid` when a feature was not in every frame of the data set. */
  endEpisode(): void {
    const length = this.episode.action!.length;
    for (const [key, rows] of Object.entries(this.episode)) {
      append(this.all, key, rows);
      if (rows.length !== length || this.all[key]!.length !== this.total) throw uneven(key);
    }
    for (const [key, video] of Object.entries(this.videos))
      if (video.frames !== this.total) throw uneven(key);
    const stats = Object.fromEntries(Object.entries(this.episode).map(([key, rows]) => [key, statsOf(rows)]));
    this.episodes.push({ length, from: this.total - length, file: this.file, stats, videos: this.starts });
    this.episode = {};
    this.starts = {};
    if (this.rows.index!.length >= MOST_ROWS) this.flush();
  }

  async close(): Promise<void> {
    this.flush();
    const { options, episodes } = this;
    for (const video of Object.values(this.videos)) await video.close();
    this.writeEpisodes();
    const index = { index_columns: ['task'], columns: PANDAS, column_indexes: [], pandas_version: '2.0.0' };
    this.write(
      'meta/tasks.parquet',
      [
        { name: 'task_index', data: [0n], type: 'INT64' },
        { name: 'task', data: [options.task], type: 'STRING' },
      ],
      { pandas: JSON.stringify(index) },
    );
    const stats = Object.fromEntries(Object.entries(this.all).map(([key, rows]) => [key, statsOf(rows)]));
    const pixels = Object.entries(this.pixels).map(([key, p]) => [key, p.stats]);
    this.json('meta/stats.json', { ...stats, ...Object.fromEntries(pixels) });
    this.json('meta/info.json', {
      codebase_version: 'v3.0',
      robot_type: options.robot_type,
      total_episodes: episodes.length,
      total_frames: this.total,
      total_tasks: 1,
      chunks_size: 1000,
      data_files_size_in_mb: 100,
      video_files_size_in_mb: 200,
      fps: options.fps,
      splits: { train: `0:${episodes.length}` },
      data_path: 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
      video_path:
        Object.keys(this.videos).length === 0
          ? null
          : 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
      features: this.features(),
    });
  }

  private async frame(key: string, image: Image, index: number): Promise<void> {
    const { fps, codecs, dir } = this.options;
    const shape = [image.height, image.width, image.channels] as const;
    if (this.videos[key] === undefined) {
      const file = join(dir, 'videos', folderName(key), 'chunk-000', 'file-000.mp4');
      mkdirSync(dirname(file), { recursive: true });
      this.videos[key] = new VideoWriter(file, codecs, shape, fps);
      this.pixels[key] = new PixelStats(image.channels);
    }
    const video = this.videos[key];
    if (String(video.shape) !== String(shape)) throw uneven(key);
    if (index === 0) this.starts[key] = video.frames;
    this.pixels[key]!.add(image.data, image.width, image.height);
    await video.add(image);
  }

  private flush(): void {
    const names = Object.keys(this.rows);
    if (names.length === 0) return;
    const columns = names.map((name) => ({
      name,
      data: this.rows[name]!,
      ...typeOf(name, this.rows[name]![0]),
    }));
    this.write(DATA.replace('{}', String(this.file).padStart(3, '0')), columns);
    this.file++;
    for (const name of names) this.rows[name] = [];
  }

  private writeEpisodes(): void {
    const { episodes, options } = this;
    const int = (name: string, of: (e: Episode, i: number) => number) => ({
      name,
      data: episodes.map((e, i) => BigInt(of(e, i))),
      type: 'INT64' as const,
    });
    const video = (key: string) => [
      int(`videos/${key}/chunk_index`, () => 0),
      int(`videos/${key}/file_index`, () => 0),
      ...(['from', 'to'] as const).map((end) => ({
        name: `videos/${key}/${end}_timestamp`,
        data: episodes.map((e) => (e.videos[key]! + (end === 'to' ? e.length : 0)) / options.fps),
        type: 'DOUBLE' as const,
      })),
    ];
    const stats = Object.entries(episodes[0]?.stats ?? {}).flatMap(([key, some]) =>
      Object.keys(some).map((name) => ({
        name: `stats/${key}/${name}`,
        data: episodes.map((e) => [...e.stats[key]![name]!]),
        list: 'DOUBLE' as const,
      })),
    );
    this.write(EPISODES, [
      int('episode_index', (_, i) => i),
      { name: 'tasks', data: episodes.map(() => [options.task]), list: 'STRING' },
      int('length', (e) => e.length),
      int('data/chunk_index', () => 0),
      int('data/file_index', (e) => e.file),
      int('dataset_from_index', (e) => e.from),
      int('dataset_to_index', (e) => e.from + e.length),
      ...Object.keys(this.videos).flatMap(video),
      ...stats,
      int('meta/episodes/chunk_index', () => 0),
      int('meta/episodes/file_index', () => 0),
    ]);
  }

  private features(): Record<string, unknown> {
    const { joint_names, fps } = this.options;
    const numbers = Object.entries(this.all).map(([key, rows]) => {
      const dim = rows[0]!.length;
      const names = key === 'action' && dim === joint_names.length ? joint_names : null;
      return [key, { dtype: dtypeOf(key), shape: [dim], names }];
    });
    const cameras = Object.entries(this.videos).map(([key, { shape, codec }]) => {
      const [height, width, channels] = shape;
      const info = {
        'video.height': height,
        'video.width': width,
        'video.codec': codec.name,
        'video.pix_fmt': 'yuv420p',
        'video.is_depth_map': false,
        'video.fps': fps,
        'video.channels': channels,
        has_audio: false,
      };
      return [key, { dtype: 'video', shape, names: ['height', 'width', 'channels'], info }];
    });
    return Object.fromEntries([...numbers, ...cameras]);
  }

  private json(path: string, value: unknown): void {
    writeFileSync(this.path(path), `${JSON.stringify(value, null, 2)}\n`);
  }

  private write(path: string, columns: readonly Column[], metadata: Readonly<Record<string, string>> = {}) {
    writeFileSync(this.path(path), table(columns, metadata));
  }

  private path(path: string): string {
    const whole = join(this.options.dir, path);
    mkdirSync(dirname(whole), { recursive: true });
    return whole;
  }
}

const INTEGERS = new Set(['frame_index', 'episode_index', 'index', 'task_index']);
const FLAG = 'is_intervention';
const PANDAS = [
  { name: 'task_index', field_name: 'task_index', pandas_type: 'int64', numpy_type: 'int64', metadata: null },
  { name: 'task', field_name: 'task', pandas_type: 'unicode', numpy_type: 'object', metadata: null },
];

function append<T>(lists: Record<string, T[]>, key: string, values: readonly T[]): void {
  const list = lists[key] ?? [];
  for (const value of values) list.push(value);
  lists[key] = list;
}

function dtypeOf(key: string): string {
  return INTEGERS.has(key) ? 'int64' : key === FLAG ? 'bool' : 'float32';
}

/** One number is written as such, more as a list. */
function cell(key: string, value: ArrayLike<number>): unknown {
  if (INTEGERS.has(key)) return BigInt(value[0]!);
  if (key === FLAG) return value[0] !== 0;
  return value.length === 1 ? value[0] : Array.from(value);
}

function typeOf(key: string, first: unknown): { type: Type } | { list: Type } {
  if (INTEGERS.has(key)) return { type: 'INT64' };
  if (key === FLAG) return { type: 'BOOLEAN' };
  return Array.isArray(first) ? { list: 'FLOAT' } : { type: 'FLOAT' };
}

/** A camera's name comes from a recording, which may be anybody's: it must not lead out of the data set. */
function folderName(key: string): string {
  if (/^[\w.-]+$/.test(key) && !/^\.+$/.test(key)) return key;
  throw new TendonError(
    'file_unsafe',
    `the recording has a camera named ${JSON.stringify(key.slice(0, 100))}, which is no name for a folder: expected letters, digits, dots, dashes and underscores`,
    { camera: key },
  );
}

const uneven = (key: string): TendonError =>
  new TendonError(
    'input_invalid',
    `${key} is not in every frame, or not in one shape: recordings of one data set must have the same features`,
    { key },
  );
