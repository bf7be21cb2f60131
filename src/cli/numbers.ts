// Numbers as they are typed.

import { TendonError } from '../types/index.js';

/** `text` as a whole number; `what` is for messages. */
export function whole(what: string, text: string, low: number, high: number): number {
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low && value <= high) return value;
  throw new TendonError(
    'config_invalid',
    `${what}: expected a whole number from ${low} to ${high}, got "${text}"`,
  );
}

/** `text` as a decimal number. */
export function decimal(
  what: string,
  text: string,
  low = -Number.MAX_VALUE,
  high = Number.MAX_VALUE,
): number {
  const value = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low && value <= high) return value;
  const bounds =
    low === -Number.MAX_VALUE ? '' : high === Number.MAX_VALUE ? ` from ${low}` : ` from ${low} to ${high}`;
  throw new TendonError('config_invalid', `${what}: expected a number${bounds}, got "${text}"`);
}
