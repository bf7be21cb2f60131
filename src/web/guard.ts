// Who may talk to the page's server. A browser on this machine may be showing a hostile site, and a button here
// moves a robot: so a request must name this server as its Host (no DNS rebinding), and a WebSocket, which browsers
// open across origins without asking, must come from a page that this server sent.

import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** True when the Host header names this server by loopback name, by address, or by one of `hosts`. */
export function hostAllowed(host: string | undefined, hosts: readonly string[]): boolean {
  const name = hostName(host);
  if (name === undefined) return false;
  return name === 'localhost' || isIP(name) !== 0 || hosts.includes(name);
}

/** True when the WebSocket's Origin is the page's own; programs send none and pass on their Host alone. */
export function originAllowed(headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return true;
  const parsed = URL.canParse(origin) ? new URL(origin) : undefined;
  return parsed !== undefined && /^https?:$/.test(parsed.protocol) && parsed.host === host?.toLowerCase();
}

function hostName(host: string | undefined): string | undefined {
  if (host === undefined || !URL.canParse(`http://${host}`)) return undefined;
  const url = new URL(`http://${host}`);
  if (url.host !== host.toLowerCase() && `${url.hostname}:80` !== host.toLowerCase()) return undefined;
  return url.hostname.replace(/^\[|\]$/g, '');
}
