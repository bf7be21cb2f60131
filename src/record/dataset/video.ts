// A camera's frames into one MP4, by way of ffmpeg where there is one: raw frames go down its pipe as fast as it takes
// them, in AV1 as LeRobot records, or H.264 where that ffmpeg has no AV1.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type Image, TendonError } from '../../types/index.js';

export interface Codec {
  /** As LeRobot's info.json names it. */
  readonly name: 'av1' | 'h264';
  readonly options: readonly string[];
  /** The smallest side that it takes, in pixels. */
  readonly least: number;
}

const CODECS: readonly (Codec & { readonly encoder: string })[] = [
  {
    name: 'av1',
    encoder: 'libsvtav1',
    options: ['-c:v', 'libsvtav1', '-crf', '30', '-g', '2', '-preset', '8'],
    least: 64,
  },
  { name: 'h264', encoder: 'libx264', options: ['-c:v', 'libx264', '-crf', '23', '-g', '2'], least: 2 },
];

/** The codecs of the ffmpeg on the path, the best first; none without one. */
export function findCodecs(): readonly Codec[] {
  const { stdout, status } = spawnSync('ffmpeg', ['-hide_banner', '-encoders'], { encoding: 'utf8' });
  return status === 0 ? CODECS.filter(({ encoder }) => stdout.includes(` ${encoder} `)) : [];
}

export class VideoWriter {
  readonly codec: Codec;
  frames = 0;
  private readonly process: ChildProcess;
  private readonly ended: Promise<number | null>;
  private complaint = '';

  constructor(
    readonly file: string,
    codecs: readonly Codec[],
    readonly shape: readonly [height: number, width: number, channels: number],
    fps: number,
  ) {
    const [height, width, channels] = shape;
    this.codec = codecs.find(({ least }) => Math.min(height, width) >= least) ?? codecs.at(-1)!;
    const input = [
      '-f',
      'rawvideo',
      '-pix_fmt',
      channels === 3 ? 'rgb24' : 'gray',
      '-s',
      `${width}x${height}`,
    ];
    const output = [...this.codec.options, '-pix_fmt', 'yuv420p', '-an', file];
    this.process = spawn('ffmpeg', ['-v', 'error', '-y', ...input, '-r', String(fps), '-i', '-', ...output], {
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    this.process.stderr!.on('data', (data) => {
      this.complaint += String(data);
    });
    // A broken pipe is told by how the process ends.
    this.process.stdin!.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      this.process.once('close', resolve);
      this.process.once('error', ({ message }) => {
        this.complaint += message;
        resolve(null);
      });
    });
  }

  async add({ data }: Image): Promise<void> {
    this.frames++;
    const pipe = this.process.stdin!;
    if (!pipe.write(data)) await Promise.race([once(pipe, 'drain'), this.ended]);
  }

  async close(): Promise<void> {
    this.process.stdin!.end();
    if ((await this.ended) !== 0)
      throw new TendonError(
        'file_missing',
        `${this.file}: ffmpeg could not write it: ${this.complaint.trim()}`,
      );
  }
}
