// Secrets that clients show: where they are read from, and how they are compared. Never from an argument alone: every
// process of the machine can read another's arguments.

import { readUserText } from '../base/files.js';
import { packageWhenNeeded, TendonError } from '../types/index.js';

const nodeCrypto = packageWhenNeeded<typeof import('node:crypto')>('node:crypto');

/** Where a token is looked for when no file is named. */
export const TOKEN_VARIABLE = 'TENDON_TOKEN';
/** Shorter ones can be guessed over a network. */
const LEAST_CHARACTERS = 8;

/**
 * The token of this process' servers: the first line of `file`, or else of the variable TENDON_TOKEN; undefined when
 * there is neither. Throws `file_missing`, `file_unsafe` or `config_invalid`.
 */
export function readToken(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  if (file !== undefined)
    return checked(
      firstLine(readUserText(file, 'secret', 'It should hold the token in its first line.')),
      `--token-file ${file}`,
    );
  const given = env[TOKEN_VARIABLE];
  return given === undefined || given === '' ? undefined : checked(firstLine(given), TOKEN_VARIABLE);
}

/** Takes the same time wherever the two differ. */
export function sameSecret(expected: string, given: string): boolean {
  const { createHash, timingSafeEqual } = nodeCrypto();
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(expected), digest(given));
}

const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0]!.trim();

function checked(token: string, where: string): string {
  if (token.length < LEAST_CHARACTERS)
    throw new TendonError(
      'config_invalid',
      `${where}: a token has at least ${LEAST_CHARACTERS} characters, this one has ${token.length}. Make one with \`openssl rand -hex 16\`.`,
    );
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new TendonError(
      'config_invalid',
      `${where}: a token is made of visible ASCII characters without spaces, for it travels in a header`,
    );
  return token;
}
