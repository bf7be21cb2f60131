// Frames ↔ ops, without a socket: text is JSON, binary is CBOR, `png` and `fragment` unwrap to what they hold.
// One FrameDecoder belongs to one connection, because fragments are only in order within one.

import { TendonError } from '../../types/index.js';
import { parseCbor, prepareCbor } from './cbor.js';
import { Fragments } from './fragments.js';
import { parseJson } from './json.js';
import { pngToText } from './png.js';
import { checkOp, type Op } from './protocol.js';

export const COMPRESSIONS = ['none', 'png', 'cbor', 'cbor-raw'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export class FrameDecoder {
  /** Whether the last op was its frame, not wrapped in png or fragments. */
  whole = true;
  private readonly fragments: Fragments;

  /** Frames of more bytes than `max_length`, and what they hold beyond it, are refused before they are parsed. */
  constructor(private readonly max_length: number) {
    this.fragments = new Fragments(max_length);
    prepareCbor();
  }

  /** The op in a frame, or undefined while its fragments are incomplete. Throws `bridge_protocol` only. */
  decode(data: Buffer, binary: boolean): Op | undefined {
    this.bound(data.length, 'a frame');
    const op = checkOp(binary ? parseCbor(data) : parseJson(data.toString('utf8')));
    this.whole = op.op !== 'png' && op.op !== 'fragment';
    return this.unwrap(op, 0);
  }

  private bound(length: number, what: string): void {
    if (length > this.max_length)
      throw new TendonError(
        'bridge_protocol',
        `Expected a rosbridge frame of at most ${this.max_length} bytes, got ${what} of ${length}: refused unread. Is something else published on one of the robot's topics?`,
        { length, max_length: this.max_length },
      );
  }

  private unwrap(op: Op, depth: number): Op | undefined {
    if (op.op !== 'fragment' && op.op !== 'png') return op;
    if (depth >= 3) {
      throw new TendonError('bridge_protocol', 'Expected an op inside png or fragment, got another wrapper.');
    }
    if (op.op === 'png') {
      const bytes = typeof op.data === 'string' ? Buffer.from(op.data, 'base64') : op.data;
      return this.unwrap(checkOp(parseJson(pngToText(bytes, this.max_length))), depth + 1);
    }
    const text = this.fragments.add(op);
    return text === undefined ? undefined : this.unwrap(checkOp(parseJson(text)), depth + 1);
  }
}
