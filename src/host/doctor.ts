// What stands between this machine and commands that are on time: each finding with what mends it. Reads files of /proc,
// /sys and /dev, and changes nothing.

import { accessSync, constants, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readUserText } from '../base/files.js';
import type { Finding } from '../types/index.js';

/** The machine as its files describe it. `root`: in whose place / stands, for tests. */
export interface Machine {
  readonly root?: string;
  /** Processors of the machine, and threads that this process may use of them. */
  readonly processors: number;
  readonly threads: number;
  readonly isa: string;
  /** Whether the CUDA library of the core is built. */
  readonly cuda_library: boolean;
  /** Whether this process may do what limits forbid others. */
  readonly privileged: boolean;
}

/** SCHED_FIFO priority that launch/tendon.service asks for. */
const RT_PRIORITY = 80;

export function examine(machine: Machine): Finding[] {
  const root = machine.root ?? '/';
  const text = (path: string): string | undefined => {
    try {
      return readUserText(join(root, path), 'config').trim();
    } catch {
      return undefined;
    }
  };
  return [
    processors(machine),
    instructionSet(machine.isa),
    kernel(text('sys/kernel/realtime'), text('proc/version')),
    governor(names(root, 'sys/devices/system/cpu', /^cpu\d+$/), text),
    isolated(text('sys/devices/system/cpu/isolated')),
    ...limits(text('proc/self/limits'), machine.privileged),
    gpu(names(root, 'dev', /^(nvidia\d+|nvhost-gpu)$/), machine.cuda_library),
    ...devices(root, /^tty(ACM|USB)\d+$/, 'serial ports', 'dialout'),
    ...devices(root, /^video\d+$/, 'cameras', 'video'),
  ];
}

function processors({ processors: all, threads }: Machine): Finding {
  const what = 'processors';
  if (threads < all)
    return {
      what,
      state: 'could be better',
      found: `this process may use ${threads} of ${all} (affinity, or the quota of its control group)`,
      mend: 'give its service or container more: CPUQuota= and AllowedCPUs= of systemd, --cpus of docker',
    };
  if (all < 2)
    return {
      what,
      state: 'could be better',
      found: 'one: inference and the control loop take turns on it',
      mend: 'a machine with two cores or more',
    };
  return { what, state: 'good', found: `${all}, all usable; one of them is left to the control loop` };
}

function instructionSet(isa: string): Finding {
  const what = 'instruction set';
  return isa === 'reference'
    ? {
        what,
        state: 'could be better',
        found:
          'no vectors: this processor has neither AVX2 with FMA nor NEON, so networks run in plain loops',
        mend: 'another processor; inside a virtual machine: the host’s own model (qemu: -cpu host)',
      }
    : { what, state: 'good', found: isa };
}

function kernel(realtime: string | undefined, version = ''): Finding {
  const what = 'kernel';
  const release = /version (\S+)/.exec(version)?.[1] ?? 'unknown';
  if (realtime === '1' || /PREEMPT_RT/.test(version))
    return { what, state: 'good', found: `${release}, PREEMPT_RT` };
  return {
    what,
    state: 'could be better',
    found: `${release}, without PREEMPT_RT: under load a period of the executor can be late by milliseconds`,
    mend: 'Debian: apt install linux-image-rt-amd64 (or -arm64); Ubuntu: pro enable realtime-kernel; then reboot',
  };
}

function governor(cpus: readonly string[], text: (path: string) => string | undefined): Finding {
  const what = 'frequency governor';
  const all = cpus.map((cpu) => text(`sys/devices/system/cpu/${cpu}/cpufreq/scaling_governor`));
  const slow = all.filter((name) => name !== undefined && name !== 'performance');
  if (all.every((name) => name === undefined))
    return { what, state: 'good', found: 'none: the frequency is not this system’s to choose' };
  return slow.length === 0
    ? { what, state: 'good', found: 'performance' }
    : {
        what,
        state: 'could be better',
        found: `${[...new Set(slow)].join(', ')} on ${slow.length} of ${all.length} processors: the first chunks after a pause are slow`,
        mend: 'cpupower frequency-set -g performance',
      };
}

function isolated(list: string | undefined): Finding {
  const what = 'isolated cores';
  return list === undefined || list === ''
    ? {
        what,
        state: 'good',
        found:
          'none; needed only where periods are missed on a loaded machine: isolcpus=N on the kernel’s command line',
      }
    : { what, state: 'good', found: `${list}; taskset -c starts a program on one` };
}

/** Rows of /proc/self/limits: name, soft limit, hard limit, unit. */
function limits(text: string | undefined, privileged: boolean): Finding[] {
  const soft = (name: string): number | undefined => {
    const value = new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(text ?? '')?.[1];
    return value === 'unlimited' ? Number.POSITIVE_INFINITY : value === undefined ? undefined : Number(value);
  };
  const rows = [
    {
      what: 'real-time priority',
      value: soft('Max realtime priority'),
      least: RT_PRIORITY,
      item: 'rtprio',
      without: 'the executor’s thread runs as any other',
    },
    {
      // The kernel counts 20 - nice.
      what: 'nice',
      value: soft('Max nice priority'),
      least: 20 + 7,
      item: 'nice',
      without: 'the control loop cannot come before inference',
    },
  ];
  return rows.flatMap(({ what, value, least, item, without }): Finding[] => {
    if (value === undefined) return [];
    if (value >= least || privileged) return [{ what, state: 'good', found: 'may be raised' }];
    const wanted = item === 'nice' ? '-7' : String(RT_PRIORITY);
    return [
      {
        what,
        state: 'could be better',
        found: `may not be raised: ${without}`,
        mend: `write "* - ${item} ${wanted}" into /etc/security/limits.d/tendon.conf and log in again; launch/tendon.service sets it for a service`,
      },
    ];
  });
}

function gpu(found: readonly string[], library: boolean): Finding {
  const what = 'NVIDIA GPU';
  if (found.length === 0) return { what, state: 'good', found: 'none; networks run on the processor' };
  return library
    ? { what, state: 'good', found: `${found.length}, and the core’s CUDA library is built` }
    : {
        what,
        state: 'could be better',
        found: `${found.length}, but the core’s CUDA library is not built`,
        mend: 'in a checkout, with the CUDA toolkit: TENDON_CUDA=on npm run build:native',
      };
}

/** Devices of a kind that this user cannot open. */
function devices(root: string, pattern: RegExp, what: string, group: string): Finding[] {
  const found = names(root, 'dev', pattern);
  const closed = found.filter((name) => !isOpen(join(root, 'dev', name)));
  if (found.length === 0) return [];
  if (closed.length === 0) return [{ what, state: 'good', found: found.join(', ') }];
  return [
    {
      what,
      state: 'wrong',
      found: `${closed.map((name) => `/dev/${name}`).join(', ')} cannot be opened by this user`,
      mend: `sudo usermod -aG ${group} $USER, then log in again`,
    },
  ];
}

function isOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function names(root: string, folder: string, pattern: RegExp): string[] {
  try {
    return readdirSync(join(root, folder)).filter((name) => pattern.test(name));
  } catch {
    return [];
  }
}
