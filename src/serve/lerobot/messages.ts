// The four messages of LeRobot's asynchronous inference (transport/services.proto, service transport.AsyncInference), coded by
// hand: protocol buffers with at most a number and some bytes in each.

import { TendonError } from '../../types/index.js';

/** Observation: a pickle comes in pieces of at most 2 MB (transport/utils.py, send_bytes_in_chunks). */
export interface Piece {
  readonly state: (typeof TRANSFER)[keyof typeof TRANSFER];
  readonly data: Buffer;
}
export const TRANSFER = { unknown: 0, begin: 1, middle: 2, end: 3 } as const;

const VARINT = 0;
const BYTES = 2;

/** Fields 1 and 2 of a message, whose other fields are passed over. Throws `input_invalid` when it is cut short. */
function fieldsOf(message: Buffer): Map<number, number | Buffer> {
  const fields = new Map<number, number | Buffer>();
  let at = 0;
  const cut = (): TendonError => new TendonError('input_invalid', 'a gRPC message ends within a field');
  const varint = (): number => {
    for (let value = 0, factor = 1; factor <= 2 ** 63; factor *= 128) {
      const byte = message[at++];
      if (byte === undefined) break;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw cut();
  };
  while (at < message.length) {
    const key = varint();
    const [number, wire] = [Math.floor(key / 8), key % 8];
    if (wire === VARINT) fields.set(number, varint());
    else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
    else if (wire === BYTES) {
      const length = varint();
      if (length > message.length - at) throw cut();
      fields.set(number, message.subarray(at, at + length));
      at += length;
    } else throw cut();
    if (at > message.length) throw cut();
  }
  return fields;
}

function written(number: number, data: Buffer): Buffer {
  const head = [number * 8 + BYTES];
  let length = data.length;
  for (; length >= 128; length = Math.floor(length / 128)) head.push((length % 128) + 128);
  return Buffer.concat([Buffer.from([...head, length]), data]);
}

const bytesIn = (message: Buffer, number: number): Buffer => {
  const field = fieldsOf(message).get(number);
  return Buffer.isBuffer(field) ? field : Buffer.alloc(0);
};

export const decodePiece = (message: Buffer): Piece => {
  const state = fieldsOf(message).get(1) ?? 0;
  if (state !== TRANSFER.begin && state !== TRANSFER.middle && state !== TRANSFER.end)
    throw new TendonError('input_invalid', `transfer_state: expected 1 to 3, got ${String(state)}`);
  return { state, data: bytesIn(message, 2) };
};
export const encodePiece = ({ state, data }: Piece): Buffer =>
  Buffer.concat([Buffer.from([8, state]), written(2, data)]);

/** PolicySetup and Actions: a pickle. */
export const decodeData = (message: Buffer): Buffer => bytesIn(message, 1);
export const encodeData = (data: Buffer): Buffer => (data.length === 0 ? data : written(1, data));

/** Pieces of a pickle, put together; the next begins a new one. */
export class Assembly {
  private parts: Buffer[] = [];
  private size = 0;

  constructor(private readonly most: number) {}

  /** The whole, with its last piece. Throws `input_invalid` beyond `most` bytes. */
  add({ state, data }: Piece): Buffer | undefined {
    if (state === TRANSFER.begin) this.clear();
    this.size += data.length;
    if (this.size > this.most)
      throw new TendonError('input_invalid', `an observation of more than ${this.most} bytes is not taken`);
    this.parts.push(data);
    if (state !== TRANSFER.end) return undefined;
    const whole = Buffer.concat(this.parts);
    this.clear();
    return whole;
  }

  private clear(): void {
    this.parts = [];
    this.size = 0;
  }
}
