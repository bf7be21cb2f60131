// GET /metrics over HTTP, for a Prometheus that comes by. It shows counters and takes nothing in.

import { type Address, Door, isLoopback, pathOf, plain } from '../net/index.js';
import type { LoopMetrics } from './loop-metrics.js';

export interface MetricsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves `metrics`. Throws `config_invalid` when the port is taken, or without a token beyond loopback. */
export async function serveMetrics(
  metrics: LoopMetrics,
  { host, port, token }: Address & { readonly token?: string | undefined },
): Promise<MetricsServer> {
  const door = await Door.open({
    name: 'metrics',
    risk: 'read what the robot does',
    host,
    port,
    rules: {
      hosts: host === undefined || isLoopback(host) ? [] : 'any',
      origins: 'none',
      token,
      scheme: 'Bearer',
    },
    async answer(request, response) {
      if (request.method !== 'GET') return plain(response, 405, 'Only GET is answered here.');
      if (pathOf(request) !== '/metrics') return plain(response, 404, 'There is only /metrics here.');
      const text = await metrics.text();
      response.writeHead(200, { 'Content-Type': metrics.content_type }).end(text);
    },
  });
  return { url: `${door.url('http')}/metrics`, close: () => door.close() };
}
