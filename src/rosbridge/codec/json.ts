// JSON as rosbridge servers really write it: Python puts bare NaN and Infinity into it, and uint8[] is base64.
// Strict text goes through JSON.parse alone; only text that fails is looked at again.

import { TendonError } from '../../types/index.js';

// A string no message holds by accident: JSON has no NaN, so one travels through the parser under this name.
const NAN_NAME = '\u0000NaN\u0000';
const NAN_TOKEN = JSON.stringify(NAN_NAME);

/** Replaces bare NaN and ±Infinity outside of strings by JSON that parses; linear in the text. */
function withoutBareNumbers(text: string): string {
  let out = '';
  let position = 0;
  while (position < text.length) {
    const quote = text.indexOf('"', position);
    const end = quote < 0 ? text.length : quote;
    out += text
      .slice(position, end)
      .replace(/-?\bInfinity\b|-?\bNaN\b/g, (token) =>
        token.endsWith('NaN') ? NAN_TOKEN : token.startsWith('-') ? '-1e999' : '1e999',
      );
    if (quote < 0) break;
    let close = quote + 1;
    while (close < text.length && text[close] !== '"') close += text[close] === '\\' ? 2 : 1;
    out += text.slice(quote, close + 1);
    position = close + 1;
  }
  return out;
}

/** Parses one frame. Throws `bridge_protocol` with the place of the fault. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (caught) {
    if (/NaN|Infinity/.test(text)) {
      try {
        return JSON.parse(withoutBareNumbers(text), (_, value) => (value === NAN_NAME ? Number.NaN : value));
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
