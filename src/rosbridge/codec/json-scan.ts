// One look at JSON before it is parsed: how deep it is nested, and whether it holds integers that a double would round.
// Parsers cope with thousands of levels, but what comes after them does not: a message that is copied to another thread,
// compared or walked ends in a stack overflow.

import { TendonError } from '../../types/index.js';

/** Levels of arrays and objects in one frame; rosbridge's own messages have less than ten. */
export const MAX_DEPTH = 48;
/** Every integer of fewer digits is exact in a double. */
const EXACT_DIGITS = 15;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** The place after a string that opens at `at`. Linear, whatever the text. */
function afterString(text: string, at: number): number {
  for (let close = text.indexOf('"', at + 1); close >= 0; close = text.indexOf('"', close + 1)) {
    let slashes = 0;
    while (text.charCodeAt(close - 1 - slashes) === BACKSLASH) ++slashes;
    if (slashes % 2 === 0) return close + 1;
  }
  return text.length;
}

/** Whether the digits from `at` to `end` are an integer of their own that a double would round. */
function isRounded(text: string, at: number, end: number): boolean {
  if (end - at <= EXACT_DIGITS || text.charCodeAt(at - 1) === DOT) return false;
  const next = text.charCodeAt(end);
  if (next === DOT || (next | 0x20) === 0x65) return false;
  return !Number.isSafeInteger(Number(text.slice(at, end)));
}

/** Looks at all of `text`; true where it holds integers beyond ±2^53. Throws `bridge_protocol` where it is too deep. */
export function scanJson(text: string): boolean {
  let depth = 0;
  let rounded = false;
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = afterString(text, at);
    } else if (isDigit(code)) {
      const start = at;
      while (isDigit(text.charCodeAt(at))) ++at;
      rounded ||= isRounded(text, start, at);
    } else {
      // [ { and ] } lie 0x20 apart, and nothing else of JSON has these codes.
      const bracket = code | 0x20;
      if (bracket === 0x7d) --depth;
      else if (bracket === 0x7b && ++depth > MAX_DEPTH)
        throw new TendonError(
          'bridge_protocol',
          `Expected a rosbridge frame in JSON of at most ${MAX_DEPTH} levels, got one nested deeper at character ${at}.`,
          { at },
        );
      ++at;
    }
  }
  return rounded;
}

/** `text` with `replace` done to what is outside of its strings; linear in the text. */
export function outsideStrings(text: string, replace: (part: string) => string): string {
  let out = '';
  for (let at = 0; at < text.length; ) {
    const quote = text.indexOf('"', at);
    out += replace(text.slice(at, quote < 0 ? text.length : quote));
    if (quote < 0) break;
    at = afterString(text, quote);
    out += text.slice(quote, at);
  }
  return out;
}
