// The four live plots. Data arrives at 10 Hz and is drawn at most that often; each plot is one uPlot, rebuilt only
// when its series or the colour scheme change.

import uPlot from 'uplot';
import type { LiveStatus } from '../../types/live.js';
import { byId, cssColor, figure, onScheme, setText } from './dom.js';
import { Series, Window } from './stats.js';

/** 15 s at 10 Hz. */
const N_ROWS = 150;
const N_BINS = 24;
/** Inferences in the histogram: a minute or so. */
const N_INFERENCES = 600;
const HEIGHT_PX = 132;
const LOW_PX = 84;

export class Plots {
  private joints = new Series(0, N_ROWS);
  private readonly late = new Series(2, N_ROWS);
  private readonly misses = new Series(1, N_ROWS);
  private readonly infer = new Window(N_INFERENCES);
  private readonly lateness = new Window(5 * N_ROWS);
  private names: readonly string[] = [];
  private shown: boolean[] = [];
  private seconds = 0;
  private last: LiveStatus | undefined;
  private charts: { joints: uPlot; latency: uPlot; late: uPlot; misses: uPlot } | undefined;

  constructor() {
    onScheme(() => this.rebuild());
    new ResizeObserver(() => this.resize()).observe(byId('plot-joints'));
  }

  /** A new task: other joints, and history that no longer compares. */
  load(joint_names: readonly string[]): void {
    if (joint_names.join() !== this.names.join()) {
      this.names = joint_names;
      this.shown = joint_names.map((_, i) => i < 3);
      this.chips();
    }
    this.joints = new Series(2 * joint_names.length, N_ROWS);
    this.rebuild();
  }

  push(status: LiveStatus): void {
    const { last } = this;
    const elapsed_s = last === undefined ? 0 : (status.stamp_ns - last.stamp_ns) / 1e9;
    this.last = status;
    // A clock that went back or jumped is another controller: its time goes on from ours.
    this.seconds += elapsed_s > 0 && elapsed_s < 60 ? elapsed_s : 0.1;
    const rows = this.names.flatMap((_, i) => [status.command[i], status.position[i]]);
    this.joints.push(this.seconds, rows);
    this.infer.push(status.infer_ms);
    this.lateness.push(status.late_us);
    const sorted = [...status.late_us].sort((a, b) => a - b);
    this.late.push(this.seconds, [sorted[sorted.length >> 1], sorted.at(-1)]);
    const missed = last === undefined ? 0 : Math.max(0, status.deadline_misses - last.deadline_misses);
    this.misses.push(this.seconds, [missed]);
    this.notes(status);
    if (!document.hidden) this.draw();
  }

  private draw(): void {
    if (this.charts === undefined) return;
    const { centres, counts } = this.infer.histogram(N_BINS);
    this.charts.joints.setData(this.joints.data as uPlot.AlignedData);
    this.charts.latency.setData([centres, counts]);
    this.charts.late.setData(this.late.data as uPlot.AlignedData);
    this.charts.misses.setData(this.misses.data as uPlot.AlignedData);
  }

  private notes(status: LiveStatus): void {
    const quantiles = (window: Window, unit: string) =>
      window.size === 0
        ? 'none yet'
        : `p50 ${figure(window.quantile(0.5))} · p99 ${figure(window.quantile(0.99))} · max ${figure(window.quantile(1))} ${unit}`;
    setText(byId('latency-note'), quantiles(this.infer, 'ms'));
    setText(byId('late-note'), quantiles(this.lateness, 'µs'));
    setText(byId('miss-note'), `${status.deadline_misses} of ${status.ticks.toLocaleString('en')} ticks`);
  }

  private chips(): void {
    const host = byId('joint-chips');
    host.replaceChildren(
      ...this.names.map((name, i) => {
        const chip = document.createElement('button');
        chip.type = 'button';
        chip.textContent = name;
        chip.className = `chip hue${i % 8}`;
        chip.setAttribute('aria-pressed', String(this.shown[i]));
        chip.addEventListener('click', () => {
          this.shown[i] = !this.shown[i];
          chip.setAttribute('aria-pressed', String(this.shown[i]));
          this.charts?.joints.setSeries(2 * i + 1, { show: this.shown[i]! });
          this.charts?.joints.setSeries(2 * i + 2, { show: this.shown[i]! });
        });
        return chip;
      }),
    );
  }

  private rebuild(): void {
    for (const chart of Object.values(this.charts ?? {})) chart.destroy();
    const lines = this.names.flatMap((name, i): uPlot.Series[] => {
      const stroke = cssColor(`hue${i % 8}`);
      const show = this.shown[i]!;
      return [
        { label: `${name} command`, stroke, width: 1.25, dash: [4, 3], show, points: { show: false } },
        { label: `${name} position`, stroke, width: 1.75, show, points: { show: false } },
      ];
    });
    const bars = (stroke: string, size: number): Partial<uPlot.Series> => ({
      stroke,
      fill: stroke,
      width: 0,
      points: { show: false },
      paths: uPlot.paths.bars!({ size: [size, 40], gap: 1 }),
    });
    const thin = (name: string): Partial<uPlot.Series> => ({
      stroke: cssColor(name),
      width: 1.5,
      points: { show: false },
    });
    this.charts = {
      joints: chart('plot-joints', HEIGHT_PX, lines, this.joints.data, 's', {}),
      latency: chart('plot-latency', LOW_PX, [bars(cssColor('accent'), 0.9)], [[], []], 'ms', { zero: true }),
      late: chart('plot-late', LOW_PX, [thin('accent'), thin('warn')], this.late.data, 's', { zero: true }),
      misses: chart('plot-miss', LOW_PX, [bars(cssColor('bad'), 0.8)], this.misses.data, 's', {
        zero: true,
        least: 4,
      }),
    };
    this.draw();
  }

  private resize(): void {
    for (const { root, height, setSize } of Object.values(this.charts ?? {})) {
      const width = root.parentElement!.clientWidth;
      if (width > 0) setSize({ width, height });
    }
  }
}

interface ChartOptions {
  /** The y axis starts at 0 … */
  readonly zero?: boolean;
  /** … and reaches at least this. */
  readonly least?: number;
}

function chart(
  id: string,
  height: number,
  series: readonly Partial<uPlot.Series>[],
  data: (number | null)[][],
  x_unit: string,
  { zero = false, least = 0 }: ChartOptions,
): uPlot {
  const host = byId(id);
  const axis: uPlot.Axis = {
    stroke: cssColor('dim'),
    grid: { stroke: cssColor('line'), width: 1 },
    ticks: { show: false },
    font: '10px system-ui, sans-serif',
  };
  return new uPlot(
    {
      width: Math.max(host.clientWidth, 50),
      height,
      padding: [6, 4, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      series: [{}, ...series],
      scales: {
        x: {
          time: false,
          ...(x_unit === 'ms' ? { range: (_, low, high) => [0, (low ?? 0) + (high ?? 1)] } : {}),
        },
        y: zero ? { range: (_, __, high) => [0, Math.max(least, (high ?? 0) * 1.1, 1e-3)] } : {},
      },
      axes: [
        {
          ...axis,
          size: 20,
          gap: 2,
          values: (_, ticks) => ticks.map((tick) => `${+tick.toFixed(6)} ${x_unit}`),
        },
        {
          ...axis,
          size: 40,
          gap: 4,
          space: 24,
          values: (_, ticks) =>
            ticks.map((tick) => (tick >= 10_000 ? `${tick / 1000}k` : String(+tick.toFixed(6)))),
        },
      ],
    },
    data as uPlot.AlignedData,
    host,
  );
}
