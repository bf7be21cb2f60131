// What `tendon --help` and `tendon COMMAND --help` print.

import { optionsOf } from './arguments.js';
import type { Command, OptionSpec } from './command.js';
import { COMMANDS } from './commands.js';

const WIDTH = 100;

/** One command: what it is for, how it is called, examples, options. */
export function helpOf(command: Command): string {
  const options = Object.entries(optionsOf(command));
  const width = Math.max(0, ...options.map(([key]) => key.length));
  return [
    command.summary,
    `  ${command.usage}`,
    ...(command.examples === undefined
      ? []
      : [`examples:\n${command.examples.map((one) => `  ${one}`).join('\n')}`]),
    ...(options.length === 0 ? [] : [options.map(([key, spec]) => line(key, spec, width)).join('\n')]),
  ].join('\n\n');
}

function line(key: string, { help, default: otherwise }: OptionSpec, width: number): string {
  const fallback = otherwise === undefined || otherwise === false ? '' : ` (default ${otherwise})`;
  const indent = width + 6;
  const lines = wrapped(help + fallback, WIDTH - indent);
  return `  --${key.padEnd(width)}  ${lines.join(`\n${' '.repeat(indent)}`)}`;
}

/** Words in lines of at most `width` characters, where the words allow it. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** All commands, and what to try first. */
export async function overview(): Promise<string> {
  const lines = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => `  ${name.padEnd(9)} ${(await load()).summary}`),
  );
  return `tendon: robot policies from checkpoint to robot, without Python

${lines.join('\n')}

  tendon help COMMAND     how one is called, with examples
  tendon --version

Try: tendon start                      a simulated arm and a page to watch it
     tendon eval --task arm            how often it succeeds
     tendon check models/arm           whether a checkpoint loads, runs, and how fast
     tendon check hf:lerobot/act_aloha_sim_transfer_cube_human    the same, from the Hugging Face Hub
     tendon inspect models/arm         what the compiler made of the network`;
}
