// A hydra configuration by dotted paths. `${path}` stands for what is there, and `${eval:'a+b'}`, which diffusion_policy
// registers, for the sum, difference or product: numbers are read and nothing is evaluated.

import { TendonError } from '../../types/index.js';
import type { Plain } from '../../weights/index.js';

export type Dict = { [key: string]: Plain };

/** References to references; and values in all, as one name may stand for many others. */
const MAX_DEPTH = 16;
const MAX_VALUES = 100_000;

export class Hydra {
  private values = 0;

  constructor(
    readonly path: string,
    private readonly root: Dict,
  ) {}

  /** The value at a path, with every reference in it replaced; undefined where there is none. */
  find(path: string): Plain | undefined {
    return this.at(path, 0);
  }

  has(path: string): boolean {
    return (this.find(path) ?? null) !== null;
  }

  /** `fallback`: what the peer's class takes when the field is absent. */
  number(path: string, fallback?: number): number {
    const value = this.find(path) ?? fallback;
    if (typeof value !== 'number') throw wrong(this.path, this.named(path), 'a number', value);
    return value;
  }

  /** True or false; absent or null is `fallback`. */
  flag(path: string, fallback?: boolean): boolean {
    const value = this.find(path) ?? fallback;
    if (typeof value !== 'boolean') throw wrong(this.path, this.named(path), 'true or false', value);
    return value;
  }

  text(path: string): string {
    const value = this.find(path);
    if (typeof value !== 'string') throw wrong(this.path, this.named(path), 'text', value);
    return value;
  }

  dict(path: string): Dict {
    const value = this.find(path);
    if (!isDict(value)) throw wrong(this.path, path, 'a section', value);
    return value;
  }

  /** The path, and what it refers to, for errors. */
  private named(path: string): string {
    const written = path
      .split('.')
      .reduce<Plain | undefined>(
        (at, part) => (isDict(at) && Object.hasOwn(at, part) ? at[part] : undefined),
        this.root,
      );
    return typeof written === 'string' && written.startsWith('${') ? `${path} (${written})` : path;
  }

  private at(path: string, depth: number): Plain | undefined {
    let at: Plain | undefined = this.root;
    for (const part of path.split('.')) {
      if (typeof at === 'string') at = this.resolved(at, depth);
      at = isDict(at) && Object.hasOwn(at, part) ? at[part] : undefined;
    }
    return at === undefined ? undefined : this.resolved(at, depth);
  }

  private resolved(value: Plain, depth: number): Plain {
    if (depth > MAX_DEPTH || ++this.values > MAX_VALUES)
      throw new TendonError(
        'config_invalid',
        `${this.path}: its configuration refers to itself, or to more than ${MAX_VALUES} values`,
        { path: this.path },
      );
    if (Array.isArray(value)) return value.map((item) => this.resolved(item, depth));
    if (isDict(value))
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, this.resolved(item, depth)]),
      );
    if (typeof value !== 'string') return value;
    const reference = /^\$\{([\w.]+)\}$/.exec(value)?.[1];
    if (reference !== undefined) return this.at(reference, depth + 1) ?? null;
    const sum = /^\$\{eval:\s*'([^']*)'\s*\}$/.exec(value)?.[1];
    if (sum === undefined) return value;
    const numbers = sum.replace(/\$\{([\w.]+)\}/g, (_, name: string) => {
      const found = this.at(name, depth + 1);
      return typeof found === 'number' ? `(${found})` : 'x';
    });
    return calculated(numbers) ?? value;
  }
}

/** +, −, *, // and parentheses over whole numbers and decimals; undefined for anything else. */
export function calculated(text: string): number | undefined {
  const tokens = text.match(/\d+(?:\.\d+)?|\/\/|[-+*()]|\S/g) ?? [];
  let at = 0;
  let depth = 0;
  const factor = (): number => {
    const token = tokens[at++] ?? '';
    if (token === '-') return -factor();
    if (token === '(' && ++depth < MAX_DEPTH) {
      const inside = sum();
      depth--;
      return tokens[at++] === ')' ? inside : Number.NaN;
    }
    return /^\d/.test(token) ? Number(token) : Number.NaN;
  };
  const product = (): number => {
    let value = factor();
    while (tokens[at] === '*' || tokens[at] === '//') {
      const divide = tokens[at++] === '//';
      value = divide ? Math.floor(value / factor()) : value * factor();
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (tokens[at] === '+' || tokens[at] === '-') value += tokens[at++] === '+' ? product() : -product();
    return value;
  };
  // A row of signs is nested as well.
  if (tokens.length > 256) return undefined;
  const value = sum();
  return at === tokens.length && Number.isFinite(value) ? value : undefined;
}

export const isDict = (value: Plain | undefined): value is Dict =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const wrong = (path: string, field: string, expected: string, got: unknown): TendonError =>
  new TendonError(
    'config_invalid',
    `${path}: its configuration should have ${expected} at ${field}, got ${got === undefined || got === null ? 'nothing: it is absent, or ??? that was never filled in' : JSON.stringify(got)}`,
    { path, field },
  );
