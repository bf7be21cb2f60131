// Those who watch `tendon run` without a say in it: the log of interventions, and a Prometheus that comes by.

import type { RunLog } from '../host/log.js';
import { LoopMetrics, type LoopMetricsOptions, serveMetrics, watchInterventions } from '../metrics/index.js';

/** Where /metrics is served, and to whom. */
export interface MetricsAddress {
  readonly port: number;
  readonly host?: string | undefined;
  readonly token?: string | undefined;
}

/** Watches until the returned function is called. Throws `config_invalid` when the port is taken. */
export async function observe(
  options: LoopMetricsOptions,
  log: RunLog,
  address: MetricsAddress | undefined,
): Promise<() => Promise<void>> {
  const stopCounting = watchInterventions(options.controller.supervisor, (report) => {
    const { intervention, cause, times } = report;
    log.record(
      'intervention',
      { ...report },
      `${intervention}: ${cause}${times > 1 ? ` (${times} times)` : ''}`,
    );
  });
  if (address === undefined) return async () => stopCounting();
  const metrics = new LoopMetrics(options);
  const server = await serveMetrics(metrics, address).catch((caught) => {
    stopCounting();
    metrics.close();
    throw caught;
  });
  log.say(`  metrics: ${server.url}`);
  return async () => {
    stopCounting();
    metrics.close();
    await server.close();
  };
}
