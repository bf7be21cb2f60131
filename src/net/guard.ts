// Who may talk to a server here. A browser on this machine may be showing a hostile site, and what listens here moves a
// robot: so a request must name this server as its Host (no DNS rebinding), a WebSocket, which browsers open across
// origins without asking, must come from a page that may open it, and whoever comes from elsewhere shows a token.

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { packageWhenNeeded } from '../types/index.js';
import { sameSecret } from './secret.js';

const nodeCrypto = packageWhenNeeded<typeof import('node:crypto')>('node:crypto');

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i;

/** Whether `host` is an address or name that only this machine reaches. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

/**
 * Which pages of browsers may open a WebSocket: `own`, those this server sent; `none`; or pages from this machine and
 * from the origins listed. Programs send no Origin and are not asked.
 */
export type Origins = 'own' | 'none' | readonly string[];

export interface GuardRules {
  /** Names, beside localhost and plain addresses, under which the server may be asked for; `any` does not look. */
  readonly hosts: readonly string[] | 'any';
  readonly origins: Origins;
  /** Shown as `Authorization: SCHEME TOKEN`, as `?token=TOKEN`, or by the cookie that a page got for it. */
  readonly token?: string | undefined;
  readonly scheme: 'Bearer' | 'Api-Key';
}

export interface Refusal {
  readonly status: 400 | 401 | 403 | 404 | 421 | 503;
  /** For people. */
  readonly text: string;
}

export class Guard {
  /** What a browser keeps in place of the token; another one for every process. */
  private readonly session = nodeCrypto().randomBytes(32).toString('hex');

  constructor(readonly rules: GuardRules) {}

  /** Why a request is refused; undefined when it is not. Never throws, whatever was sent. */
  refusal(request: IncomingMessage): Refusal | undefined {
    const { hosts } = this.rules;
    if (hosts !== 'any' && !hostAllowed(request.headers.host, hosts))
      return {
        status: 421,
        text: 'This host name is not served here. Use an address in numbers, or allow the name (--page-name NAME).',
      };
    return this.shown(request)
      ? undefined
      : {
          status: 401,
          text: `A token is needed: open the page as /?token=TOKEN, or send "Authorization: ${this.rules.scheme} TOKEN".`,
        };
  }

  /** As `refusal`, for a WebSocket. */
  upgradeRefusal(request: IncomingMessage): Refusal | undefined {
    if (!originAllowed(request.headers, this.rules.origins))
      return { status: 403, text: 'Pages of this origin may not connect here.' };
    return this.refusal(request);
  }

  /** For a browser that showed the token in its address: what it shows from now on. */
  cookieFor(request: IncomingMessage, port: number): string | undefined {
    const { token } = this.rules;
    const given = queryOf(request).get('token');
    if (token === undefined || given === null || !sameSecret(token, given)) return undefined;
    return `${cookieName(port)}=${this.session}; Path=/; HttpOnly; SameSite=Strict`;
  }

  private shown(request: IncomingMessage): boolean {
    const { token, scheme } = this.rules;
    if (token === undefined) return true;
    const { authorization = '', cookie = '' } = request.headers;
    if (authorization.startsWith(`${scheme} `) && sameSecret(token, authorization.slice(scheme.length + 1)))
      return true;
    const query = queryOf(request).get('token');
    if (query !== null && sameSecret(token, query)) return true;
    const name = `${cookieName(request.socket.localPort ?? 0)}=`;
    return cookie
      .split('; ')
      .some((one) => one.startsWith(name) && sameSecret(this.session, one.slice(name.length)));
  }
}

/** The path asked for, without its query. Any text is a path; none is parsed as a URL, which throws on some. */
export const pathOf = (request: IncomingMessage): string => (request.url ?? '/').split('?', 1)[0]!;

export function queryOf(request: IncomingMessage): URLSearchParams {
  const url = request.url ?? '';
  const at = url.indexOf('?');
  return new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
}

/** True when the Host header names this server by loopback name, by address, or by one of `hosts`. */
export function hostAllowed(host: string | undefined, hosts: readonly string[]): boolean {
  const name = hostName(host);
  if (name === undefined) return false;
  return name === 'localhost' || isIP(name) !== 0 || hosts.some((one) => one.toLowerCase() === name);
}

/** True when the WebSocket's Origin is one of those that may connect, or there is none. */
export function originAllowed({ origin, host }: IncomingHttpHeaders, allowed: Origins): boolean {
  if (origin === undefined) return true;
  if (allowed === 'none') return false;
  const parsed = URL.canParse(origin) ? new URL(origin) : undefined;
  if (allowed === 'own')
    return parsed !== undefined && /^https?:$/.test(parsed.protocol) && parsed.host === host?.toLowerCase();
  return allowed.includes(origin) || (parsed !== undefined && isLoopback(parsed.hostname));
}

function hostName(host: string | undefined): string | undefined {
  if (host === undefined || !URL.canParse(`http://${host}`)) return undefined;
  const url = new URL(`http://${host}`);
  if (url.host !== host.toLowerCase() && `${url.hostname}:80` !== host.toLowerCase()) return undefined;
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** Cookies know no ports, so the name does: two robots on one machine have two. */
const cookieName = (port: number): string => `tendon_${port}`;
