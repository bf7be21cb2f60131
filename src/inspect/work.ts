// Work of a compiled network, and the time that it took.

/** An instruction, timed by itself. */
export interface InstructionTime {
  readonly stage: string;
  readonly label: string;
  readonly flops: number;
  readonly us: number;
}

/** Work and time of several instructions. */
export interface Work {
  readonly instructions: number;
  readonly flops: number;
  readonly weight_bytes: number;
  /** What arithmetic or reading the weights allows on this machine, measured now. */
  readonly at_best_us: number;
  readonly measured_us: number;
}
