// Elementwise functions of the op table as ONNX (opset 17) nodes, as PyTorch's exporter would write them.

/** Adds a node and gives the name of its result; numbers become constants. */
export type Emit = (op: string, ...inputs: (string | number)[]) => string;

const one =
  (op: string) =>
  (emit: Emit, x: string): string =>
    emit(op, x);

export const ELEMENTWISE: Readonly<Record<string, (emit: Emit, x: string) => string>> = {
  relu: one('Relu'),
  tanh: one('Tanh'),
  sigmoid: one('Sigmoid'),
  elu: one('Elu'),
  softplus: one('Softplus'),
  exp: one('Exp'),
  log: one('Log'),
  sin: one('Sin'),
  cos: one('Cos'),
  sqrt: one('Sqrt'),
  abs: one('Abs'),
  neg: one('Neg'),
  reciprocal: one('Reciprocal'),
  erf: one('Erf'),
  rsqrt: (emit, x) => emit('Reciprocal', emit('Sqrt', x)),
  square: (emit, x) => emit('Mul', x, x),
  silu: (emit, x) => emit('Mul', x, emit('Sigmoid', x)),
  mish: (emit, x) => emit('Mul', x, emit('Tanh', emit('Softplus', x))),
  gelu: (emit, x) =>
    emit('Mul', emit('Mul', x, emit('Add', emit('Erf', emit('Div', x, Math.SQRT2)), 1)), 0.5),
  gelu_tanh: (emit, x) => {
    const cube = emit('Mul', emit('Mul', x, x), x);
    const inner = emit('Mul', emit('Add', x, emit('Mul', cube, 0.044715)), Math.sqrt(2 / Math.PI));
    return emit('Mul', emit('Mul', x, emit('Add', emit('Tanh', inner), 1)), 0.5);
  },
  // sign(x)·(exp|x| − 1) without a sign, which not everybody reads: one of the two is exp 0.
  symexp: (emit, x) => emit('Sub', emit('Exp', emit('Relu', x)), emit('Exp', emit('Relu', emit('Neg', x)))),
};
