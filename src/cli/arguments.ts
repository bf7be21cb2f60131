// From argv to what a command is told. What is not understood is refused, never left out: a word too many may be the
// checkpoint that somebody meant.

import { parseArgs } from 'node:util';
import { TendonError } from '../types/index.js';
import type { Command, Context, OptionSpec, Values } from './command.js';
import { whole } from './numbers.js';

const POLICY: OptionSpec = {
  type: 'string',
  help: 'checkpoint folder, or hf:OWNER/NAME@REVISION; the same as DIR',
};
const JSON_OPTION: OptionSpec = { type: 'boolean', default: false, help: 'one JSON object instead of text' };

/** Every option of a command, with those that come with what it takes and gives. */
export const optionsOf = ({ takes, json, options }: Command): Readonly<Record<string, OptionSpec>> => ({
  ...(takes === 'policy' && options.policy === undefined ? { policy: POLICY } : {}),
  ...options,
  ...(json === true ? { json: JSON_OPTION } : {}),
});

/** What was typed: the options, and the words beside them. Throws `config_invalid` for one that the command does not know. */
export function readArguments(
  name: string,
  command: Command,
  args: string[],
): { readonly values: Values; readonly words: readonly string[] } {
  const { values: given, positionals } = parsed(name, optionsOf(command), args);
  for (const [key, value] of Object.entries(given))
    if (value === '') throw refusal(name, `--${key}: expected a value, got an empty one`);
  const words = wordsFor(name, command, positionals);
  return { values: withPolicy(name, command, given, words), words };
}

/** How a command asks for the options that it was given. */
export function contextOf(
  name: string,
  command: Command,
  values: Values,
  words: readonly string[],
): Omit<Context, 'say' | 'stopped'> {
  const text = (key: string): string => {
    const value = values[key];
    if (typeof value === 'string') return value;
    const dir = key === 'policy' && command.takes === 'policy' ? ' (DIR, or --policy DIR)' : '';
    throw refusal(name, `--${key} is missing: ${optionsOf(command)[key]?.help}${dir}`);
  };
  return {
    text,
    integer: (key, low, high) => whole(`--${key}`, text(key), low, high),
    positionals: command.takes === 'policy' ? [] : words,
  };
}

function parsed(name: string, specs: Readonly<Record<string, OptionSpec>>, args: string[]) {
  const options = Object.fromEntries(
    Object.entries(specs).map(([key, { type, default: otherwise }]) => [
      key,
      { type, ...(otherwise === undefined ? {} : { default: otherwise }) },
    ]),
  );
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true }) as {
      values: Record<string, string | boolean | undefined>;
      positionals: string[];
    };
  } catch (cause) {
    const [, unknown] = /^Unknown option '(--?[^']*)'/.exec((cause as Error).message) ?? [];
    if (unknown === undefined) throw refusal(name, (cause as Error).message);
    const near = nearest(unknown.replace(/^-+/, ''), Object.keys(specs));
    throw refusal(
      name,
      `there is no option ${unknown}${near === undefined ? '' : `; did you mean --${near}?`}`,
    );
  }
}

/** The words beside options, as many as the command takes. */
function wordsFor(name: string, { takes }: Command, words: string[]): string[] {
  const { least, most, what } =
    takes === 'policy' ? { least: 0, most: 1, what: 'one checkpoint folder' } : (takes ?? NOTHING);
  if (words.length > most)
    throw refusal(name, `expected ${what}, got ${words.map((word) => `"${word}"`).join(' ')}`);
  if (words.length < least) throw refusal(name, `expected ${what}`);
  return words;
}
const NOTHING = { least: 0, most: 0, what: 'options only' };

/** DIR and --policy DIR are one. */
function withPolicy(name: string, { takes }: Command, values: Values, [dir]: readonly string[]): Values {
  if (takes !== 'policy' || dir === undefined) return values;
  if (values.policy !== undefined)
    throw refusal(name, `one checkpoint folder, got "${dir}" and --policy "${values.policy}"`);
  return { ...values, policy: dir };
}

const refusal = (name: string, why: string): TendonError =>
  new TendonError('config_invalid', `${name}: ${why}. \`tendon ${name} --help\` says more.`);

/** The name that differs from `word` by the least letters, if by few. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const [best] = names.map((name) => ({ name, off: distance(word, name) })).sort((a, b) => a.off - b.off);
  return best !== undefined && best.off <= (word.length < 4 ? 1 : 2) ? best.name : undefined;
}

/** Letters to change, add or leave out (Levenshtein 1966). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
