// Wilson's score interval for a success rate (Wilson 1927): sound at 0 and n, unlike the textbook one.

/** Lower and upper bound of the true rate behind k successes in n trials; z 1.96 is 95 %. None tried: [0, 1]. */
export function wilson(k: number, n: number, z = 1.96): [number, number] {
  if (n === 0) return [0, 1];
  const p = k / n;
  const scale = 1 + (z * z) / n;
  const centre = (p + (z * z) / (2 * n)) / scale;
  const half = (z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n))) / scale;
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
