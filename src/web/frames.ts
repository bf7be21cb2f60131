// The wire between server and page, both ways, in one file that both import. Scene, status and replies are JSON
// text; poses and chunks are binary, because at 60 Hz text would cost more than the drawing.
//
// Binary frames are little endian, with every float on a multiple of four bytes so that views need no copy:
//
//   offset  type   poses              chunk
//        0  u8     1                  2                  kind
//        1  u8     1                  1                  version of this layout
//        2  u16    n_shapes           n_candidates
//        4  u16    0                  horizon
//        6  u16    0                  chosen
//        8  f64    stamp_ns           stamp_ns
//       16  f32    (n_shapes, 7) …    infer_ms
//       20  u32                       1 when scores follow the paths, else 0
//       24  f32                       paths (n_candidates, horizon, 3), then scores (n_candidates)

import type {
  LiveChunk,
  LiveFrame,
  LivePoses,
  LiveScene,
  LiveStatus,
  OperatorIntent,
} from '../types/live.js';

/** What the page sends: an intent, numbered so that its reply can be told from others. */
export interface IntentMessage {
  readonly id: number;
  readonly intent: OperatorIntent;
}

/** The answer to one intent. */
export interface ReplyMessage {
  readonly kind: 'reply';
  readonly id: number;
  readonly accepted: boolean;
  readonly reason: string;
}

export type PageMessage = LiveFrame | ReplyMessage;

const VERSION = 1;
const POSES = 1;
const CHUNK = 2;
const POSES_HEADER = 16;
const CHUNK_HEADER = 24;
const POSE_FLOATS = 7;

/** A frame as one WebSocket message: text for JSON, bytes for the binary layouts above. */
export function encodeFrame(frame: PageMessage): string | Uint8Array {
  if (frame.kind === 'poses') return encodePoses(frame);
  if (frame.kind === 'chunk') return encodeChunk(frame);
  return JSON.stringify(frame);
}

/** The inverse of encodeFrame. Throws RangeError or SyntaxError when the message breaks the layout. */
export function decodeFrame(message: string | ArrayBuffer): PageMessage {
  if (typeof message !== 'string') return decodeBinary(message);
  return JSON.parse(message) as LiveScene | LiveStatus | ReplyMessage;
}

function encodePoses(frame: LivePoses): Uint8Array {
  const { poses } = frame;
  const bytes = new Uint8Array(POSES_HEADER + poses.byteLength);
  header(bytes, POSES, poses.length / POSE_FLOATS, 0, 0, frame.stamp_ns);
  copyFloats(bytes, POSES_HEADER, poses);
  return bytes;
}

function encodeChunk(frame: LiveChunk): Uint8Array {
  const { paths, scores } = frame;
  const bytes = new Uint8Array(CHUNK_HEADER + paths.byteLength + (scores?.byteLength ?? 0));
  const view = header(bytes, CHUNK, frame.n_candidates, frame.horizon, frame.chosen, frame.stamp_ns);
  view.setFloat32(16, frame.infer_ms, true);
  view.setUint32(20, scores === undefined ? 0 : 1, true);
  copyFloats(bytes, CHUNK_HEADER, paths);
  if (scores !== undefined) copyFloats(bytes, CHUNK_HEADER + paths.byteLength, scores);
  return bytes;
}

function decodeBinary(buffer: ArrayBuffer): LivePoses | LiveChunk {
  if (buffer.byteLength < POSES_HEADER)
    throw new RangeError(`a frame of ${buffer.byteLength} bytes has no header`);
  const view = new DataView(buffer);
  const kind = view.getUint8(0);
  const version = view.getUint8(1);
  if (version !== VERSION)
    throw new RangeError(`frame layout ${version}, this page reads ${VERSION}: reload it`);
  const n = view.getUint16(2, true);
  const stamp_ns = view.getFloat64(8, true);
  if (kind === POSES) {
    expectLength(buffer, POSES_HEADER + 4 * n * POSE_FLOATS, 'poses');
    return { kind: 'poses', stamp_ns, poses: new Float32Array(buffer, POSES_HEADER, n * POSE_FLOATS) };
  }
  if (kind !== CHUNK) throw new RangeError(`unknown binary frame kind ${kind}`);
  if (buffer.byteLength < CHUNK_HEADER) throw new RangeError('a chunk frame ends inside its header');
  const horizon = view.getUint16(4, true);
  const scored = view.getUint32(20, true) === 1;
  const n_floats = n * horizon * 3;
  expectLength(buffer, CHUNK_HEADER + 4 * (n_floats + (scored ? n : 0)), 'chunk');
  return {
    kind: 'chunk',
    stamp_ns,
    chosen: view.getUint16(6, true),
    n_candidates: n,
    horizon,
    paths: new Float32Array(buffer, CHUNK_HEADER, n_floats),
    infer_ms: view.getFloat32(16, true),
    ...(scored ? { scores: new Float32Array(buffer, CHUNK_HEADER + 4 * n_floats, n) } : {}),
  };
}

function header(
  bytes: Uint8Array,
  kind: number,
  n: number,
  horizon: number,
  chosen: number,
  stamp_ns: number,
) {
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setUint8(1, VERSION);
  view.setUint16(2, n, true);
  view.setUint16(4, horizon, true);
  view.setUint16(6, chosen, true);
  view.setFloat64(8, stamp_ns, true);
  return view;
}

/** Copies the bytes as they lie: every platform Node runs on is little endian. */
function copyFloats(into: Uint8Array, offset: number, floats: Float32Array): void {
  into.set(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength), offset);
}

function expectLength(buffer: ArrayBuffer, expected: number, what: string): void {
  if (buffer.byteLength !== expected)
    throw new RangeError(`a ${what} frame of ${buffer.byteLength} bytes, its header says ${expected}`);
}
