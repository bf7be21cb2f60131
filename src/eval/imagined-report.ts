// What a world model expects of a chunk, for people: a table with bars for a terminal, and one HTML file without outside
// assets.

import type { Imagined } from '../policies/index.js';

export interface ImaginedReport extends Imagined {
  readonly title: string;
  readonly note: string;
  readonly period_s: number;
}

const BAR = 16;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

const curves = (r: ImaginedReport): readonly (readonly [string, Float32Array])[] =>
  (
    [
      ['reward', r.reward],
      ['value', r.value],
      ['uncertainty', r.uncertainty],
    ] as const
  ).flatMap(([name, values]) => (values === undefined ? [] : [[name, values] as const]));

/** Length within the curve's own range, in eighths of a character. */
function bar(values: Float32Array, t: number): string {
  const low = Math.min(...values);
  const range = Math.max(...values) - low;
  const eighths = range > 0 ? Math.round((8 * BAR * (values[t]! - low)) / range) : 0;
  return ('█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]).padEnd(BAR);
}

/** One line for each row of the chunk; a bar spans its column's own range, lowest to highest. */
export function imaginedTable(r: ImaginedReport): string {
  const shown = curves(r);
  const head = `   row   time s${shown.map(([name]) => `${name.padStart(13)} ${' '.repeat(BAR)}`).join('')}`;
  const lines = Array.from(
    r.reward,
    (_, t) =>
      `  ${String(t).padStart(4)} ${(t * r.period_s).toFixed(3).padStart(8)}${shown.map(([, values]) => `${values[t]!.toFixed(4).padStart(13)} ${bar(values, t)}`).join('')}`,
  );
  return [head.trimEnd(), ...lines.map((line) => line.trimEnd())].join('\n');
}

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** A curve over the rows, 640 × 180, with its range written at the side. */
function plot(name: string, values: Float32Array, period_s: number): string {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const n = Math.max(1, values.length - 1);
  const x = (t: number): number => 70 + (560 * t) / n;
  const y = (v: number): number => (high > low ? 140 - (125 * (v - low)) / (high - low) : 78);
  const points = Array.from(values, (v, t) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`);
  const dots = points.map((p, t) => {
    const [cx, cy] = p.split(',');
    return `<circle cx="${cx}" cy="${cy}" r="3"><title>row ${t}: ${values[t]!.toPrecision(5)}</title></circle>`;
  });
  return `<h2>${escaped(name)}</h2><svg viewBox="0 0 640 180" role="img" aria-label="${escaped(name)} along the chunk"><polyline points="${points.join(' ')}"/>${dots.join('')}<text x="60" y="20" text-anchor="end">${high.toPrecision(3)}</text><text x="60" y="144" text-anchor="end">${low.toPrecision(3)}</text><text x="70" y="170">0 s</text><text x="630" y="170" text-anchor="end">${(n * period_s).toFixed(2)} s</text></svg>`;
}

export function imaginedHtml(r: ImaginedReport): string {
  const rows = Array.from(
    r.reward,
    (_, t) =>
      `<tr><th>${t}</th>${curves(r)
        .map(([, values]) => `<td>${values[t]!.toFixed(4)}</td>`)
        .join('')}</tr>`,
  ).join('');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escaped(r.title)}</title>
<style>body{font:15px/1.5 system-ui;max-width:46rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
th{text-align:left;font-weight:500;opacity:.7}td,th{padding-right:1.5rem;font-variant-numeric:tabular-nums}
svg{width:100%}polyline{fill:none;stroke:#3b82f6;stroke-width:2}circle{fill:#3b82f6}text{font-size:13px;fill:currentColor}</style>
<h1>${escaped(r.title)}</h1><p>${escaped(r.note)}</p>
${curves(r)
  .map(([name, values]) => plot(name, values, r.period_s))
  .join('\n')}
<p>Return over the rows, discounted: ${r.return.toFixed(4)}. Uncertainty: ${escaped(r.uncertainty === undefined ? 'this model says nothing of it' : r.unsure_of)}.</p>
<table><tr><th>row</th>${curves(r)
    .map(([name]) => `<th>${name}</th>`)
    .join('')}</tr>${rows}</table></html>
`;
}
