// An exported network made into one that the core cannot compile, though it computes the same.

/** Adds a node Round(out) → unused: valid ONNX that changes nothing, with an op that is not read. */
export function withUnreadOp(model: Buffer): Buffer {
  const field = (number: number, value: Buffer): Buffer =>
    Buffer.concat([Buffer.of((number << 3) | 2, value.length), value]);
  const node = field(
    1,
    Buffer.concat([
      field(1, Buffer.from('out')),
      field(2, Buffer.from('unused')),
      field(3, Buffer.from('extra')),
      field(4, Buffer.from('Round')),
    ]),
  );
  // Fields of a message may stand in any order and a message may come in pieces: one more piece of `graph`.
  return Buffer.concat([model, Buffer.of((7 << 3) | 2, node.length), node]);
}
