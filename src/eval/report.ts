// An evaluation as one HTML file without outside assets: the figures, and two plots in SVG.

import type { Evaluation } from './evaluate.js';

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

/** Bars of a histogram over [low, high], 640 × 160. */
function histogram(title: string, values: readonly number[], unit: string, bins = 32): string {
  if (values.length === 0) return '';
  const low = values.reduce((a, b) => Math.min(a, b));
  const width = (values.reduce((a, b) => Math.max(a, b)) - low || 1) / bins;
  const counts = new Array<number>(bins).fill(0);
  for (const v of values) counts[Math.min(bins - 1, Math.floor((v - low) / width))]!++;
  const top = Math.max(...counts);
  const bars = counts
    .map(
      (c, i) =>
        `<rect x="${i * 20 + 1}" y="${130 - (120 * c) / top}" width="18" height="${(120 * c) / top}"/>`,
    )
    .join('');
  const label = (x: number, v: number, anchor: string): string =>
    `<text x="${x}" y="150" text-anchor="${anchor}">${v.toFixed(1)} ${unit}</text>`;
  return `<h2>${escaped(title)}</h2><svg viewBox="0 0 640 160" role="img" aria-label="${escaped(title)}">${bars}${label(0, low, 'start')}${label(640, low + bins * width, 'end')}</svg>`;
}

export function htmlReport(e: Evaluation, note: string): string {
  const rows: [string, string][] = [
    ['success', `${e.successes}/${e.episodes} = ${percent(e.success_rate)}`],
    ['95 % interval (Wilson)', `${percent(e.interval[0])} – ${percent(e.interval[1])}`],
    ['mean episode', `${e.mean_steps.toFixed(1)} steps`],
    [
      'modes',
      Object.entries(e.modes)
        .map(([k, v]) => `${k} ${v}`)
        .join(', '),
    ],
    [
      'largest jump between chunks',
      `median ${e.boundary_jump.median.toFixed(4)}, worst ${e.boundary_jump.worst.toFixed(4)}`,
    ],
    [
      'inference',
      `p50 ${e.infer_ms.p50.toFixed(2)} ms, p99 ${e.infer_ms.p99.toFixed(2)} ms, worst ${e.infer_ms.max.toFixed(2)} ms`,
    ],
  ];
  const table = rows.map(([k, v]) => `<tr><th>${escaped(k)}</th><td>${escaped(v)}</td></tr>`).join('');
  const failures = e.records.filter((r) => !r.success).map((r) => r.seed);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escaped(e.task)} · ${percent(e.success_rate)}</title>
<style>body{font:15px/1.5 system-ui;max-width:46rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
th{text-align:left;font-weight:500;padding-right:2rem;opacity:.7}svg{width:100%;fill:#3b82f6}text{font-size:13px;fill:currentColor}</style>
<h1>${escaped(e.task)}: ${percent(e.success_rate)}</h1><p>${escaped(e.policy)} · ${escaped(note)}</p><table>${table}</table>
${histogram(
  'Length of an episode',
  e.records.map((r) => r.steps),
  'steps',
)}
${histogram(
  'Time of an inference',
  e.records.flatMap((r) => r.infer_ms),
  'ms',
)}
<h2>Seeds that failed</h2><p>${failures.length === 0 ? 'none' : failures.join(', ')}</p></html>
`;
}
