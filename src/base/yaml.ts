// YAML files of a user. Mappings come as Maps, in their order; errors say where the fault is and quote nothing.

import { TendonError } from '../types/index.js';
import { packageWhenNeeded } from '../types/lazy.js';

const yaml = packageWhenNeeded<typeof import('yaml')>('yaml');

/** `text` as YAML, each mapping a Map from string to value in the order of the text. Throws `file_corrupt`. */
export function parseYaml(text: string, path: string): unknown {
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const [fault] = document.errors;
    if (fault === undefined) return named(document.toJS({ mapAsMap: true }));
    const { line, col } = lines.linePos(fault.pos[0]);
    throw broken(path, `line ${line}, column ${col} (${fault.code.toLowerCase().replaceAll('_', ' ')})`);
  } catch (caught) {
    if (caught instanceof TendonError) throw caught;
    // Too many aliases, or brackets nested beyond the stack; the message may quote the text.
    throw broken(
      path,
      caught instanceof RangeError ? 'it is nested too deeply' : 'its aliases lead nowhere or too far',
    );
  }
}

/** Maps as objects, all the way down; their keys in the order that objects have. */
export function plainYaml(value: unknown): unknown {
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, inner]) => [key, plainYaml(inner)]));
  return Array.isArray(value) ? value.map(plainYaml) : value;
}

function named(value: unknown): unknown {
  if (value instanceof Map) return new Map([...value].map(([key, inner]) => [String(key), named(inner)]));
  if (value instanceof Set) return new Map([...value].map((key) => [String(key), null]));
  return Array.isArray(value) ? value.map(named) : value;
}

const broken = (path: string, where: string): TendonError =>
  new TendonError('file_corrupt', `${path} is not YAML: ${where}`, { path });
