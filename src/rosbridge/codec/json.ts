// JSON as rosbridge servers really write it: Python puts bare NaN, Infinity and 64-bit integers into it, and uint8[] is
// base64. Strict text goes through JSON.parse alone; only text that it would refuse or round is looked at again.

import { TendonError } from '../../types/index.js';
import { outsideStrings, scanJson } from './json-scan.js';

// Strings that no message holds by accident: what JSON has no word for travels through the parser under these names.
const NAN_NAME = '\u0000NaN\u0000';
const INTEGER_NAME = '\u0000int\u0000';
const INTEGER = new RegExp(`^${INTEGER_NAME}-?\\d+$`);

/** Bare NaN and ±Infinity, and integers beyond ±2^53, as JSON that parses. */
const named = (part: string): string =>
  part.replace(/-?\bInfinity\b|-?\bNaN\b|-?(?<![\d.])\d{16,}(?![\d.eE])/g, (token) => {
    if (token.endsWith('NaN')) return JSON.stringify(NAN_NAME);
    if (token.endsWith('y')) return token.startsWith('-') ? '-1e999' : '1e999';
    return Number.isSafeInteger(Number(token)) ? token : JSON.stringify(INTEGER_NAME + token);
  });

const revived = (_: string, value: unknown): unknown => {
  if (value === NAN_NAME) return Number.NaN;
  return typeof value === 'string' && INTEGER.test(value) ? BigInt(value.slice(INTEGER_NAME.length)) : value;
};

/**
 * Parses one frame of at most MAX_DEPTH levels. An integer that a double would round becomes a BigInt, as it does from
 * CBOR. Throws `bridge_protocol` with the place of the fault.
 */
export function parseJson(text: string): unknown {
  const rounded = scanJson(text);
  try {
    return rounded ? JSON.parse(outsideStrings(text, named), revived) : JSON.parse(text);
  } catch (caught) {
    if (!rounded && /NaN|Infinity/.test(text)) {
      try {
        return JSON.parse(outsideStrings(text, named), revived);
      } catch {
        // The first message names the fault as the sender wrote it.
      }
    }
    throw new TendonError(
      'bridge_protocol',
      `Expected a rosbridge frame in JSON: ${caught instanceof Error ? caught.message.slice(0, 200) : caught}.`,
      { length: text.length },
      { cause: caught },
    );
  }
}

/** Whether JSON.stringify would write `value` differently from how rosbridge wants it. */
function needsCare(value: unknown): boolean {
  if (typeof value === 'bigint') return true;
  if (typeof value !== 'object' || value === null) return false;
  if (ArrayBuffer.isView(value)) return true;
  if (Array.isArray(value)) return typeof value[0] === 'number' ? false : value.some(needsCare);
  for (const key in value) {
    if (needsCare((value as Record<string, unknown>)[key])) return true;
  }
  return false;
}

function plain(value: unknown, bytes: 'base64' | 'list'): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    if (Number.isSafeInteger(number)) return number;
    throw new TendonError(
      'bridge_protocol',
      `Expected integers within ±2^53 in JSON, got ${value}. Use CBOR for this topic.`,
    );
  }
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array && bytes === 'base64') {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  }
  if (ArrayBuffer.isView(value)) {
    return Array.from(value as unknown as ArrayLike<number | bigint>, (item) =>
      typeof item === 'bigint' ? plain(item, bytes) : item,
    );
  }
  if (Array.isArray(value)) return value.map((item) => plain(item, bytes));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item, bytes)]));
}

/**
 * JSON for one op or message: Uint8Array as base64 (or a list for servers that want that), other typed arrays as lists, NaN and ±Infinity as null (what
 * rosbridge itself sends). Throws `bridge_protocol` for a BigInt that JSON would round.
 */
export function stringifyJson(value: unknown, bytes: 'base64' | 'list' = 'base64'): string {
  try {
    if (!needsCare(value)) return JSON.stringify(value);
  } catch (caught) {
    // Only a BigInt in the middle of a list of numbers comes here; the careful way writes or refuses it.
    if (!(caught instanceof TypeError)) throw caught;
  }
  return JSON.stringify(plain(value, bytes));
}
