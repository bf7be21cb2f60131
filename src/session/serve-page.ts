// The page of a simulated session on a port, with its metrics beside it.

import { startWebServer, type WebServer, type WebServerOptions } from '../web/index.js';
import type { LiveSession } from './sim-page.js';

/** Where the page is when nobody says. */
export const PAGE_PORT = 8080;

/**
 * Serves it; without a port on PAGE_PORT, or on a free one where that is taken. The session is closed when it cannot be
 * served (`config_invalid` says why).
 */
export async function servePage(
  live: LiveSession,
  { port, ...options }: Omit<WebServerOptions, 'port' | 'extra'> & { readonly port: number | undefined },
): Promise<WebServer> {
  const extra = {
    '/metrics': async () => ({ type: live.metrics.content_type, body: await live.metrics.text() }),
  };
  const serve = (at: number): Promise<WebServer> => startWebServer(live, { ...options, port: at, extra });
  try {
    return await (port === undefined ? serve(PAGE_PORT).catch(() => serve(0)) : serve(port));
  } catch (caught) {
    await live.close();
    throw caught;
  }
}
