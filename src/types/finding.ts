// What an examination found, of a machine or of a server.

/** One thing that an examination of this machine or of a server found. */
export interface Finding {
  readonly what: string;
  /** `good`: as it should be. `could be better`: it works, less well. `wrong`: something that is here cannot be used. */
  readonly state: 'good' | 'could be better' | 'wrong';
  /** A sentence for people. */
  readonly found: string;
  /** A command to run or a line to write that mends it. */
  readonly mend?: string;
}
