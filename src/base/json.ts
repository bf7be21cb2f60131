// JSON as files of checkpoints have it: Python's own writer spells NaN and Infinity bare. Errors say where the fault is
// and quote nothing of the text.

import { TendonError } from '../types/index.js';
import { type FileKind, readUserText } from './files.js';

/** Reads a JSON file. Throws as `readUserText`, and `file_corrupt` with line and column where it is no JSON. */
export function readUserJson(path: string, kind: FileKind, hint = ''): unknown {
  return parseJson(readUserText(path, kind, hint), path);
}

/** `text` as JSON, with NaN, Infinity and -Infinity as numbers; `path` is for messages. */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const { plain, marked } = markBareNumbers(text);
    try {
      return marked ? JSON.parse(plain, unmark) : JSON.parse(plain);
    } catch (cause) {
      const { line, column } = faultIn(text);
      throw new TendonError(
        'file_corrupt',
        `${path} is not JSON: line ${line}, column ${column}`,
        {
          path,
          line,
          column,
        },
        { cause: new Error((cause as Error).name) },
      );
    }
  }
}

/** Stands for a bare number within the text; no JSON text that a person writes begins a string so. */
const MARK = '\u0000tendon:';
const BARE = /^-?(?:Infinity|NaN)\b/;

const unmark = (_: string, value: unknown): unknown =>
  typeof value === 'string' && value.startsWith(MARK) ? Number(value.slice(MARK.length)) : value;

/** Puts strings in the place of bare NaN and Infinity. One pass over the text. */
function markBareNumbers(text: string): { plain: string; marked: boolean } {
  let plain = '';
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') i = endOfString(text, i);
    else if (c === 'N' || c === 'I' || (c === '-' && text[i + 1] === 'I')) {
      const found = BARE.exec(text.slice(i, i + 12))?.[0];
      if (found === undefined) continue;
      plain += `${text.slice(from, i)}"\\u0000tendon:${found}"`;
      i += found.length - 1;
      from = i + 1;
    }
  }
  return { plain: plain + text.slice(from), marked: from > 0 };
}

/** Where the string that begins at `at` ends: its closing quote, or the end of the text. */
function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"') return i;
  }
  return text.length;
}

/** Line and column, from 1, of the first place that no JSON could have; found by a parse that keeps nothing. */
function faultIn(text: string): { line: number; column: number } {
  const at = firstFault(text);
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  return { line, column: at - before.lastIndexOf('\n') };
}

const SCALAR = /(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|-?Infinity|NaN)/y;

function endOfScalar(text: string, at: number): number {
  SCALAR.lastIndex = at;
  return SCALAR.test(text) ? SCALAR.lastIndex : at;
}

/** A machine that reads tokens: what may come next depends on the innermost bracket alone. */
function firstFault(text: string): number {
  const open: ('{' | '[')[] = [];
  let expect: 'value' | 'first' | 'key' | 'colon' | 'next' = 'value';
  for (let i = 0; i < text.length; ) {
    const c = text[i]!;
    if (c === ' ' || c === '\n' || c === '\r' || c === '\t') {
      i++;
      continue;
    }
    const inner = open.at(-1);
    if (expect === 'next') {
      if (inner !== undefined && c === (inner === '{' ? '}' : ']')) open.pop();
      else if (inner !== undefined && c === ',') expect = inner === '{' ? 'key' : 'value';
      else return i;
      i++;
    } else if (expect === 'colon') {
      if (c !== ':') return i;
      expect = 'value';
      i++;
    } else if (expect === 'first' && c === (inner === '{' ? '}' : ']')) {
      open.pop();
      expect = 'next';
      i++;
    } else if ((expect === 'key' || (expect === 'first' && inner === '{')) && c !== '"') return i;
    else if (c === '{' || c === '[') {
      open.push(c);
      expect = 'first';
      i++;
    } else {
      const end = c === '"' ? endOfString(text, i) + 1 : endOfScalar(text, i);
      if (end === i || end > text.length) return i;
      i = end;
      expect = expect === 'key' || (expect === 'first' && inner === '{') ? 'colon' : 'next';
    }
  }
  return text.length;
}
