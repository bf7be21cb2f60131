// The plan of the maze: which cells are free, how far cells are apart by the corridors, and what can be seen from where. No
// physics.

/** # is a wall; a cell is 1 m. The first line is the far side (largest y). */
const PLAN = [
  '############',
  '#...#......#',
  '#.#.#.####.#',
  '#.#...#....#',
  '#.#####.##.#',
  '#.......#..#',
  '###.###.#.##',
  '#...#......#',
  '############',
] as const;

export const COLUMNS = PLAN[0].length;
export const ROWS = PLAN.length;
/** m */
export const CELL = 1;

export type Spot = readonly [x: number, y: number];

/** Cells are numbered row by row, the nearest row first. */
const wallAt = (column: number, row: number): boolean => PLAN[ROWS - 1 - row]?.[column] !== '.';

export const FREE: readonly number[] = Array.from({ length: COLUMNS * ROWS }, (_, cell) => cell).filter(
  (cell) => !wallAt(cell % COLUMNS, Math.floor(cell / COLUMNS)),
);

/** Walls as rectangles [x0, y0, x1, y1], runs of a row joined; m, the maze's middle is the origin. */
export const WALLS: readonly (readonly [number, number, number, number])[] = Array.from(
  { length: ROWS },
  (_, row) => {
    const runs: [number, number, number, number][] = [];
    for (let column = 0; column < COLUMNS; column++) {
      if (!wallAt(column, row)) continue;
      const [x, y] = cornerOf(column, row);
      const last = runs.at(-1);
      if (last !== undefined && last[2] === x) last[2] = x + CELL;
      else runs.push([x, y, x + CELL, y + CELL]);
    }
    return runs;
  },
).flat();

function cornerOf(column: number, row: number): [number, number] {
  return [(column - COLUMNS / 2) * CELL, (row - ROWS / 2) * CELL];
}

/** Middle of a cell, m. */
export function middleOf(cell: number): Spot {
  const [x, y] = cornerOf(cell % COLUMNS, Math.floor(cell / COLUMNS));
  return [x + CELL / 2, y + CELL / 2];
}

/** The free cell in which a spot lies, or the nearest to it. */
export function cellOf([x, y]: Spot): number {
  const column = Math.floor(x / CELL + COLUMNS / 2);
  const row = Math.floor(y / CELL + ROWS / 2);
  if (!wallAt(column, row)) return row * COLUMNS + column;
  const far = (cell: number): number => {
    const [u, v] = middleOf(cell);
    return (u - x) ** 2 + (v - y) ** 2;
  };
  return FREE.reduce((best, cell) => (far(cell) < far(best) ? cell : best));
}

const neighbours = (cell: number): number[] =>
  [cell - 1, cell + 1, cell - COLUMNS, cell + COLUMNS].filter(
    (next) => !wallAt(next % COLUMNS, Math.floor(next / COLUMNS)),
  );

const found = new Map<number, Float64Array>();

/** Cells between each cell and `goal` by the corridors; infinite for walls. */
export function stepsTo(goal: number): Float64Array {
  let steps = found.get(goal);
  if (steps !== undefined) return steps;
  steps = new Float64Array(COLUMNS * ROWS).fill(Number.POSITIVE_INFINITY);
  steps[goal] = 0;
  for (let queue = [goal]; queue.length > 0; ) {
    const next: number[] = [];
    for (const cell of queue)
      for (const beside of neighbours(cell))
        if (steps[beside] === Number.POSITIVE_INFINITY) {
          steps[beside] = steps[cell]! + 1;
          next.push(beside);
        }
    queue = next;
  }
  found.set(goal, steps);
  return steps;
}

/** Cells from one to the other, both included. */
export function corridor(from: number, to: number): number[] {
  const steps = stepsTo(to);
  const path = [from];
  for (let cell = from; cell !== to; ) {
    cell = neighbours(cell).reduce((best, next) => (steps[next]! < steps[best]! ? next : best));
    path.push(cell);
  }
  return path;
}

/** Whether a disc of `radius` passes from a to b in a straight line; looked at every few centimetres. */
export function passes(a: Spot, b: Spot, radius: number): boolean {
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
  const looks = Math.ceil(length / 0.05);
  for (let i = 0; i <= looks; i++) {
    const t = looks === 0 ? 0 : i / looks;
    const [x, y] = [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
    for (const [x0, y0, x1, y1] of WALLS) {
      const dx = Math.max(x0 - x, 0, x - x1);
      const dy = Math.max(y0 - y, 0, y - y1);
      if (dx * dx + dy * dy < radius * radius) return false;
    }
  }
  return true;
}
