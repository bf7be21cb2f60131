// A server that speaks the part of the Hugging Face Hub's API that downloads need (hub API: models, tree, resolve), with the
// faults that networks have. The bytes come from another port, as the Hub's large files do.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

const LARGE = 1000;

export interface HubFault {
  /** Cut the next answers of large files after so many bytes, */
  cuts?: number[];
  /** and not before the other side has them. */
  arrived?: () => boolean;
  /** Send other bytes than were listed. */
  wrong?: boolean;
  /** Ignore ranges, as some mirrors do. */
  whole?: boolean;
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const gitSha = (bytes: Buffer): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

export class HubServer {
  readonly repositories = new Map<string, Map<string, Buffer>>();
  readonly fault: HubFault = {};
  /** What was asked for, in order: `GET path` with the range, and whether a token came along. */
  readonly asked: { readonly path: string; readonly range?: string; readonly token: boolean }[] = [];
  /** The token without which everything is refused. */
  token: string | undefined;
  /** Paths that the listing names besides those that there are. */
  listed: string[] = [];
  private readonly servers: Server[] = [];
  endpoint = '';
  private store = '';

  async start(): Promise<void> {
    this.store = await this.listen((request, response) => this.sendBytes(request, response));
    this.endpoint = await this.listen((request, response) => this.answer(request, response));
  }

  async stop(): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  private async listen(
    handler: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<string> {
    const server = createServer(handler);
    this.servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url ?? '', this.endpoint).pathname);
    this.note(request, path);
    const redirect = /^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.*)$/.exec(path);
    const [status, value] = this.reply(path, request.headers.authorization);
    if (status !== 200 || redirect === null)
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    else response.writeHead(302, { location: `${this.store}/${redirect[1]}/${redirect[2]}` }).end();
  }

  private reply(path: string, authorization: string | undefined): [status: number, body: unknown] {
    if (this.token !== undefined && authorization !== `Bearer ${this.token}`)
      return [401, { error: 'Invalid credentials' }];
    const [, repo = '', rest = ''] =
      /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/((?:revision|tree|resolve)\/.*)$/.exec(path) ?? [];
    const files = this.repositories.get(repo);
    if (files === undefined || /^revision\/(?!main$|0123)/.test(rest))
      return [404, { error: 'Repository not found' }];
    if (!rest.startsWith('tree/')) return [200, { _id: '1', id: repo, sha: COMMIT }];
    const entries = [...files].map(([name, bytes]) => ({
      type: 'file',
      path: name,
      size: bytes.length,
      oid: gitSha(bytes),
      ...(/\.safetensors$/.test(name)
        ? { lfs: { oid: sha(bytes), size: bytes.length, pointerSize: 130 } }
        : {}),
    }));
    const lies = this.listed.map((name) => ({ type: 'file', path: name, size: 1, oid: COMMIT }));
    return [200, [{ type: 'directory', path: 'folder', size: 0, oid: COMMIT }, ...entries, ...lies]];
  }

  private sendBytes(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url ?? '', this.store).pathname);
    this.note(request, path);
    const [, owner, name, ...file] = path.split('/');
    const listed = this.repositories.get(`${owner}/${name}`)?.get(file.join('/'));
    if (listed === undefined) {
      response.writeHead(404).end();
      return;
    }
    const bytes = this.fault.wrong === true ? Buffer.alloc(listed.length, 7) : listed;
    const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const start = asked === null || this.fault.whole === true ? 0 : Number(asked[1]);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': bytes.length - start,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    const cut = bytes.length > LARGE ? this.fault.cuts?.shift() : undefined;
    if (cut === undefined) {
      response.end(bytes.subarray(start));
      return;
    }
    response.write(bytes.subarray(start, start + cut));
    const timer = setInterval(() => {
      if (this.fault.arrived?.() === false) return;
      clearInterval(timer);
      response.destroy();
    }, 5);
  }

  private note(request: IncomingMessage, path: string): void {
    const { range, authorization } = request.headers;
    this.asked.push({ path, token: authorization !== undefined, ...(range === undefined ? {} : { range }) });
  }
}
