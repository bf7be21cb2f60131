// PyTorch as a second peer, where Debian's python3-torch is installed: a child process that runs the same graph eagerly.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { GraphBuilder } from '../src/native/index.js';
import { packageFile } from '../src/types/package.js';

const PYTHON = '/usr/bin/python3';
const SCRIPT = packageFile('bench/pytorch_peer.py');

let present: boolean | undefined;
export function hasTorch(): boolean {
  present ??= spawnSync(PYTHON, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0;
  return present;
}

export interface TorchWork {
  readonly graph: GraphBuilder;
  readonly threads: number;
  readonly calls: number;
  /** By input: its values for each call, or one for all. */
  readonly feeds: Readonly<Record<string, readonly Float32Array[]>>;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

export class Torch {
  private waiting: ((line: string) => void) | undefined;
  private failed: Error | undefined;

  private constructor(private readonly child: ChildProcess) {
    createInterface({ input: child.stdout! }).on('line', (line) => this.waiting?.(line));
    child.on('close', (code) => {
      this.failed = new Error(`the PyTorch side ended with ${code}`);
      this.waiting?.('');
    });
  }

  static async open({ graph, threads, calls, feeds, shapes }: TorchWork): Promise<Torch> {
    const torch = new Torch(spawn(PYTHON, [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] }));
    const nodes = graph.nodes.map((node) => ({
      op: node.op,
      inputs: node.inputs,
      attributes: node.attributes,
      ...(node.name === undefined ? {} : { name: node.name }),
      ...(node.tensor !== undefined
        ? { tensor: { file: node.tensor.file, offset: node.tensor.offset, shape: node.shape } }
        : node.values !== undefined
          ? {
              tensor: {
                values: [...node.values].map((v) => (v === -Infinity ? -1e30 : v)),
                shape: node.shape,
              },
            }
          : {}),
    }));
    const numbers = Object.fromEntries(Object.entries(feeds).map(([k, v]) => [k, v.map((f) => [...f])]));
    const output = graph.outputs[0]!.id;
    await torch.ask(JSON.stringify({ nodes, threads, calls, shapes, feeds: numbers, output }));
    return torch;
  }

  run(): Promise<void> {
    return this.ask('run');
  }

  close(): void {
    this.child.stdin!.end();
  }

  private ask(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting = () => {
        this.waiting = undefined;
        if (this.failed) reject(this.failed);
        else resolve();
      };
      this.child.stdin!.write(`${line}\n`);
    });
  }
}
