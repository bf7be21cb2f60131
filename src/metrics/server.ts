// GET /metrics over HTTP, for a Prometheus that comes by. It shows counters and takes nothing in; still it listens on
// loopback unless told otherwise.

import type { AddressInfo } from 'node:net';
import { packageWhenNeeded, TendonError } from '../types/index.js';
import type { LoopMetrics } from './loop-metrics.js';

const nodeHttp = packageWhenNeeded<typeof import('node:http')>('node:http');

export interface MetricsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves `metrics` on `host`:`port` (0 takes a free one). Throws `config_invalid` when the port is taken. */
export async function serveMetrics(
  metrics: LoopMetrics,
  port: number,
  host = '127.0.0.1',
): Promise<MetricsServer> {
  const http = nodeHttp().createServer((request, response) => {
    const say = (status: number, text: string): void => {
      response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(text);
    };
    if (request.method !== 'GET') return say(405, 'Only GET is answered here.\n');
    if (request.url?.split('?', 1)[0] !== '/metrics') return say(404, 'There is only /metrics here.\n');
    metrics.text().then(
      (text) => response.writeHead(200, { 'Content-Type': metrics.content_type }).end(text),
      (caught: unknown) => say(500, `${caught instanceof Error ? caught.message : String(caught)}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    http.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'the port is taken' : cause.message;
      const sentence = `metrics: cannot listen on ${host}:${port}: ${why}. Try another --metrics, or 0 for a free one.`;
      reject(new TendonError('config_invalid', sentence, { host, port }, { cause }));
    });
    http.listen(port, host, resolve);
  });
  const { port: bound } = http.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/metrics`,
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
}
