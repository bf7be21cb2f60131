// Routes that grow while driving: a map of cells, its frontiers, and where robots that often cannot hear each other meet to share
// what they have seen (IR2's graph without its network: utility of a frontier against the way there, rendezvous agreed at contact).

import { TendonError } from '../types/index.js';

/** A cell that nothing has seen yet. */
export const UNKNOWN = -1;
/** A cell that can be driven through. */
export const FREE_CELL = 0;
/** A cell that cannot. */
export const WALL_CELL = 1;

/** Cells row by row. */
export class CellMap {
  readonly cells: Int8Array;

  constructor(
    readonly columns: number,
    readonly rows: number,
  ) {
    this.cells = new Int8Array(columns * rows).fill(UNKNOWN);
  }

  /** Takes over what the other knows. Throws `input_invalid` for a map of another size. */
  merge(other: CellMap): void {
    if (other.columns !== this.columns || other.rows !== this.rows)
      throw new TendonError(
        'input_invalid',
        `map: ${other.columns} × ${other.rows} cells cannot be merged into ${this.columns} × ${this.rows}`,
      );
    other.cells.forEach((cell, i) => {
      if (cell !== UNKNOWN) this.cells[i] = cell;
    });
  }

  neighbours(cell: number): number[] {
    const column = cell % this.columns;
    const beside = [cell - this.columns, cell + this.columns];
    if (column > 0) beside.push(cell - 1);
    if (column < this.columns - 1) beside.push(cell + 1);
    return beside.filter((next) => next >= 0 && next < this.cells.length);
  }

  /** Unknown cells beside a cell: what would be learnt there. */
  utility(cell: number): number {
    return this.neighbours(cell).filter((next) => this.cells[next] === UNKNOWN).length;
  }

  /** Free cells beside the unknown. */
  frontiers(): number[] {
    return Array.from(this.cells.keys()).filter(
      (cell) => this.cells[cell] === FREE_CELL && this.utility(cell) > 0,
    );
  }

  /** Cells between `from` and every cell by free cells that are known; infinite where there is no such way. */
  steps(from: number): Float64Array {
    const steps = new Float64Array(this.cells.length).fill(Number.POSITIVE_INFINITY);
    steps[from] = 0;
    for (let queue = [from]; queue.length > 0; )
      queue = queue.flatMap((cell) =>
        this.neighbours(cell).filter((next) => {
          if (this.cells[next] !== FREE_CELL || steps[next] !== Number.POSITIVE_INFINITY) return false;
          steps[next] = steps[cell]! + 1;
          return true;
        }),
      );
    return steps;
  }

  /** Cells from one to the other by known free cells, both included; undefined where there is no way. */
  way(from: number, to: number): number[] | undefined {
    const steps = this.steps(to);
    if (!Number.isFinite(steps[from]!)) return undefined;
    const path = [from];
    for (let cell = from; cell !== to; path.push(cell))
      cell = this.neighbours(cell).reduce((best, next) => (steps[next]! < steps[best]! ? next : best), cell);
    return path;
  }
}

/** What a frontier is worth to a robot: cells to be seen, less the way there. Frontiers without a way: −∞. */
export function frontierScores(map: CellMap, from: number, frontiers: readonly number[]): Float64Array {
  const steps = map.steps(from);
  return Float64Array.from(frontiers, (cell) => map.utility(cell) - steps[cell]!);
}

/** Where several robots meet, and when. */
export interface Rendezvous {
  readonly cell: number;
  /** s */
  readonly at_s: number;
}

/**
 * Where and when two robots in contact agree to meet next: the known free cell that is nearest for whoever has the longer way, after
 * `apart_s` of exploring. Undefined where no cell can be reached by both.
 */
export function agree(
  map: CellMap,
  a: number,
  b: number,
  now_s: number,
  apart_s: number,
): Rendezvous | undefined {
  const [fromA, fromB] = [map.steps(a), map.steps(b)];
  let best = -1;
  const longer = (cell: number): number => Math.max(fromA[cell]!, fromB[cell]!);
  for (let cell = 0; cell < fromA.length; cell++)
    if (Number.isFinite(longer(cell)) && (best < 0 || longer(cell) < longer(best))) best = cell;
  return best < 0 ? undefined : { cell: best, at_s: now_s + apart_s };
}

/** Whether a robot at `from` has to leave now to be there in time; `cell_s` is what one cell takes. A way unknown: at once. */
export function mustLeave(
  map: CellMap,
  from: number,
  { cell, at_s }: Rendezvous,
  now_s: number,
  cell_s: number,
): boolean {
  const steps = map.steps(cell)[from]!;
  return !Number.isFinite(steps) || now_s + steps * cell_s >= at_s;
}
