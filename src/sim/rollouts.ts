// Physics as a world model: sequences of targets are tried out on instances of the task, shared out over threads. Every
// rollout begins in the same restored state, so the returns do not depend on how many threads there are.

import type { Worker } from 'node:worker_threads';
import { TendonError } from '../types/index.js';
import { startWorker } from '../types/package.js';
import type { RolloutReply, RolloutRequest } from './rollout-worker.js';
import type { TaskModel, TaskSpec } from './task.js';
import { findTask } from './tasks.js';

export class PhysicsRollouts {
  private constructor(
    readonly spec: TaskSpec,
    readonly model: TaskModel,
    private readonly threads: readonly RolloutThread[],
  ) {}

  /** Throws `unsupported` for a task whose moments nobody has put a value on. */
  static open(name: string, threads: number): PhysicsRollouts {
    const { spec, model } = findTask(name);
    if (model === undefined)
      throw new TendonError(
        'unsupported',
        `the task "${name}" has no reward to plan by (TaskModel in src/sim/task.ts); "arm" has`,
        { name },
      );
    const started = Array.from({ length: Math.max(1, threads) }, () => new RolloutThread(name));
    return new PhysicsRollouts(spec, model, started);
  }

  /** What `count` sequences (count, horizon, joints) are worth from where the observation is; NaN: one that failed. */
  async returns(
    values: Readonly<Record<string, Float32Array>>,
    targets: Float32Array,
    count: number,
  ): Promise<Float32Array> {
    const row = targets.length / count;
    const share = Math.ceil(count / this.threads.length);
    const parts = await Promise.all(
      this.threads.map((thread, k) => {
        const [first, end] = [Math.min(count, k * share), Math.min(count, (k + 1) * share)];
        if (first === end) return new Float32Array(0);
        return thread.ask({ values, targets: targets.slice(first * row, end * row), count: end - first });
      }),
    );
    const all = new Float32Array(count);
    parts.forEach((part, k) => {
      all.set(part, Math.min(count, k * share));
    });
    return all;
  }

  close(): void {
    for (const thread of this.threads) thread.close();
  }
}

/** One request at a time; a planner waits for all before it asks again. */
class RolloutThread {
  private readonly worker: Worker;
  private waiting: { answer(returns: Float32Array): void; refuse(cause: Error): void } | undefined;
  private broken: Error | undefined;

  constructor(task: string) {
    this.worker = startWorker('dist/sim/rollout-worker.js', { task });
    // A thread that waits for work keeps no process alive.
    this.worker.unref();
    this.worker.on('message', ({ returns, error }: RolloutReply) => {
      const { waiting } = this;
      this.waiting = undefined;
      this.worker.unref();
      if (returns !== undefined) waiting?.answer(returns);
      else waiting?.refuse(new TendonError('policy_failed', error ?? 'a physics rollout failed'));
    });
    this.worker.on('error', (cause) => this.end(cause));
    this.worker.on('exit', () => this.end(new TendonError('cancelled', 'the physics rollouts were closed')));
  }

  ask(request: RolloutRequest): Promise<Float32Array> {
    return new Promise((answer, refuse) => {
      if (this.broken !== undefined) return refuse(this.broken);
      this.waiting = { answer, refuse };
      this.worker.ref();
      this.worker.postMessage(request, [request.targets.buffer as ArrayBuffer]);
    });
  }

  close(): void {
    void this.worker.terminate();
  }

  private end(cause: Error): void {
    this.broken ??= cause;
    this.waiting?.refuse(this.broken);
    this.waiting = undefined;
  }
}
