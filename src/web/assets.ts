// The files of the page, by address: HTML, style and icon from src/web/page (they need no build), scripts from
// dist/web, three and uPlot from node_modules as their authors ship them. The table is all there is to ask for:
// no path from a request ever reaches the file system.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { TendonError } from '../types/errors.js';
import { packageFile } from '../types/package.js';

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
  readonly etag: string;
}

export interface Assets {
  readonly files: ReadonlyMap<string, Asset>;
  /** Value of Content-Security-Policy that lets exactly these files run. */
  readonly policy: string;
}

const HTML = 'text/html; charset=utf-8';
const CSS = 'text/css; charset=utf-8';
const SCRIPT = 'text/javascript; charset=utf-8';
const SVG = 'image/svg+xml';

const PAGE = packageFile('src/web/page');
const BUILT = packageFile('dist/web');

/** In the order in which the page names them. */
const SHEETS = ['base.css', 'stage.css', 'side.css', 'phone.css'];

/** What the page takes from three's examples/jsm, with what those files import beside them. */
const THREE_ADDONS = [
  'controls/OrbitControls.js',
  'environments/RoomEnvironment.js',
  'geometries/RoundedBoxGeometry.js',
  'lines/LineMaterial.js',
  'lines/LineSegments2.js',
  'lines/LineSegmentsGeometry.js',
];

/** Reads every file once. Throws `file_missing` when the page has not been built. */
export async function loadAssets(): Promise<Assets> {
  const require = createRequire(import.meta.url);
  const three = dirname(require.resolve('three')); // …/three/build
  const uplot = dirname(require.resolve('uplot')); // …/uplot/dist
  const built = (await builtScripts()).map(
    (file): Entry => [`/page/${file}`, join(BUILT, 'page', file), SCRIPT],
  );
  const entries: Entry[] = [
    ['/', join(PAGE, 'index.html'), HTML],
    ...SHEETS.map((name): Entry => [`/${name}`, join(PAGE, name), CSS]),
    ['/favicon.svg', join(PAGE, 'favicon.svg'), SVG],
    ['/frames.js', join(BUILT, 'frames.js'), SCRIPT],
    ...built,
    ['/vendor/three/three.module.js', join(three, 'three.module.js'), SCRIPT],
    ['/vendor/three/three.core.js', join(three, 'three.core.js'), SCRIPT],
    ...THREE_ADDONS.map(
      (file): Entry => [`/vendor/three/addons/${file}`, join(three, '../examples/jsm', file), SCRIPT],
    ),
    ['/vendor/uplot/uPlot.esm.js', join(uplot, 'uPlot.esm.js'), SCRIPT],
    ['/vendor/uplot/uPlot.min.css', join(uplot, 'uPlot.min.css'), CSS],
  ];
  const files = new Map(await Promise.all(entries.map(readAsset)));
  return { files, policy: contentPolicy(files.get('/')!.body.toString()) };
}

type Entry = readonly [address: string, path: string, type: string];

async function readAsset([address, path, type]: Entry): Promise<[string, Asset]> {
  const body = await readFile(path).catch((cause: unknown) => {
    throw missing(path, cause);
  });
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return [address, { type, body, etag }];
}

async function builtScripts(): Promise<string[]> {
  const names = await readdir(join(BUILT, 'page')).catch((cause: unknown) => {
    throw missing(join(BUILT, 'page'), cause);
  });
  return names.filter((name) => name.endsWith('.js'));
}

function missing(path: string, cause: unknown): TendonError {
  const sentence = `web: expected ${path}, a file of the live page, and it cannot be read. Try: npm run build:ts`;
  return new TendonError('file_missing', sentence, { path }, { cause });
}

/** Scripts from this server only. The import map has to stand in the HTML, so its hash is allowed and no other. */
function contentPolicy(html: string): string {
  const inline = [...html.matchAll(/<script type="importmap">([\s\S]*?)<\/script>/g)].map(
    ([, text]) => `'sha256-${createHash('sha256').update(text!).digest('base64')}'`,
  );
  return [
    "default-src 'none'",
    `script-src 'self' ${inline.join(' ')}`.trim(),
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
