// Protocol buffers, as far as writing an ONNX model needs them: fields by number (onnx.proto, IR version 8).

export type Bytes = Uint8Array[];
const utf8 = new TextEncoder();

function varint(value: number): Uint8Array {
  const out: number[] = [];
  let v = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(v & 0x7fn);
    v >>= 7n;
    out.push(v > 0n ? low | 0x80 : low);
  } while (v > 0n);
  return Uint8Array.from(out);
}
const size = (b: Bytes): number => b.reduce((n, part) => n + part.length, 0);
export const whole = (field: number, value: number): Bytes => [varint(field << 3), varint(value)];
export const bytes = (field: number, value: Bytes): Bytes => [
  varint((field << 3) | 2),
  varint(size(value)),
  ...value,
];
export const text = (field: number, value: string): Bytes => bytes(field, [utf8.encode(value)]);
const float32 = (field: number, value: number): Bytes => [
  varint((field << 3) | 5),
  new Uint8Array(Float32Array.of(value).buffer),
];

export const FLOAT = 1;
export const INT64 = 7;

export function attribute(name: string, value: number | readonly number[] | { float: number }): Bytes {
  if (typeof value === 'number') return [...text(1, name), ...whole(3, value), ...whole(20, 2)];
  if ('float' in value) return [...text(1, name), ...float32(2, value.float), ...whole(20, 1)];
  return [...text(1, name), ...value.flatMap((v) => whole(8, v)), ...whole(20, 7)];
}

export function tensor(name: string, dims: readonly number[], type: number, data: Uint8Array): Bytes {
  return [...dims.flatMap((d) => whole(1, d)), ...whole(2, type), ...text(8, name), ...bytes(9, [data])];
}

export function valueInfo(name: string, dims: readonly number[]): Bytes {
  const shape = dims.flatMap((d) => bytes(1, whole(1, d)));
  return [...text(1, name), ...bytes(2, bytes(1, [...whole(1, FLOAT), ...bytes(2, shape)]))];
}
