// The kinds of measures that a registry of Prometheus holds, each read when somebody asks: what counts goes on counting for
// itself and knows nothing of this.

import type { Gauge, Histogram } from 'prom-client';
import { packageWhenNeeded } from '../types/index.js';

const prometheus = packageWhenNeeded<typeof import('prom-client')>('prom-client');

export type Counts = Readonly<Record<string, number>>;

/** The values of a counter's labels, and its count. */
export type Row = readonly [labels: readonly string[], count: number];

export const rows = (counts: Counts): Row[] => Object.entries(counts).map(([label, n]) => [[label], n]);

export class Measures {
  private readonly registry = new (prometheus().Registry)();
  readonly content_type = this.registry.contentType;

  /** Everything, in Prometheus' text format. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  count(name: string, help: string, read: () => number): void {
    this.countBy(name, help, [], () => [[[], read()]]);
  }

  /** A counter that somebody else counts. */
  countBy(name: string, help: string, labels: readonly string[], read: () => readonly Row[]): void {
    const counter = new (prometheus().Counter)({
      name,
      help,
      labelNames: labels,
      registers: [this.registry],
      collect() {
        counter.reset();
        for (const [values, n] of read())
          counter.inc(Object.fromEntries(labels.map((label, i) => [label, values[i]!])), n);
      },
    });
  }

  /** A gauge without a sample while there is nothing to read. */
  gauge(name: string, help: string, read: () => number | undefined): void {
    const gauge: Gauge = new (prometheus().Gauge)({
      name,
      help,
      registers: [this.registry],
      collect: () => {
        const value = read();
        if (value === undefined) gauge.remove();
        else gauge.set(value);
      },
    });
  }

  /** A gauge with a sample for each value of its label. */
  gaugeBy(name: string, help: string, label: string, read: () => Counts): void {
    const gauge = new (prometheus().Gauge)({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        for (const [value, n] of Object.entries(read())) gauge.set({ [label]: value }, n);
      },
    });
  }

  histogram(name: string, help: string, buckets: number[], labelNames: string[] = []): Histogram<string> {
    return new (prometheus().Histogram)({ name, help, buckets, labelNames, registers: [this.registry] });
  }
}
