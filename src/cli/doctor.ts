// `tendon doctor`: what on this machine, or on the way to a bridge, keeps commands from being on time, and what mends it.

import { existsSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { examine, MachineLimits } from '../host/index.js';
import { addon } from '../native/index.js';
import { examineBridge } from '../rosbridge/index.js';
import type { Finding } from '../types/index.js';
import { packageFile } from '../types/package.js';
import type { Command } from './command.js';
import { waiting } from './progress.js';

const MARKS: Readonly<Record<Finding['state'], string>> = { good: '✓', 'could be better': '–', wrong: '✗' };

export const doctor: Command = {
  summary: 'what keeps this machine or a bridge from being on time, and what mends it',
  usage: 'tendon doctor [--bridge ws://ROBOT:9090] [--json]',
  examples: ['tendon doctor', 'tendon doctor --bridge ws://robot.local:9090'],
  json: true,
  options: {
    bridge: {
      type: 'string',
      help: 'address of a rosbridge server: how long its answers take, and its clock',
    },
  },
  async run(values, { say }) {
    const { bridge } = values;
    const core = addon();
    const findings = examine({
      processors: cpus().length,
      threads: Math.min(core.threadCount(), availableParallelism()),
      isa: core.isa(),
      cuda_library: existsSync(packageFile('build/Release/libtendon_cuda.so')),
      privileged: process.getuid?.() === 0,
    });
    const done = waiting('measuring');
    try {
      const limits = await MachineLimits.measure(new core.Pool({}));
      findings.splice(2, 0, { what: 'limits', state: 'good', found: await limits.text() });
      if (typeof bridge === 'string') findings.push(...(await examineBridge(bridge)));
    } finally {
      done();
    }
    say(values.json === true ? JSON.stringify(findings, undefined, 1) : described(findings));
    return findings.some(({ state }) => state === 'wrong') ? 1 : 0;
  },
};

function described(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const indent = ' '.repeat(width + 6);
  const lines = findings.map(
    ({ what, state, found, mend }) =>
      `  ${MARKS[state]} ${what.padEnd(width)}  ${found}${mend === undefined ? '' : `\n${indent}→ ${mend}`}`,
  );
  const open = findings.filter(({ state }) => state !== 'good').length;
  return [
    ...lines,
    open === 0 ? '  all as it should be' : `  ${open} of ${findings.length} could be better`,
  ].join('\n');
}
