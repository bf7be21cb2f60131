// A policy on a robot behind rosbridge, as its robot file says: everything that `tendon run` runs, for any program.
//
//   const session = await RobotSession.open({ robot: 'launch/ur5e.yaml', policy: 'models/mine', will: new LastWill() });
//   session.start();
//   await session.ended;

import { Disposer } from '../base/index.js';
import type { Controller } from '../control/index.js';
import type { LastWords } from '../host/last-will.js';
import { collectGarbage, preferControl } from '../host/priority.js';
import type { RosbridgeRobot } from '../rosbridge/index.js';
import type { SteerablePolicy } from '../steering/index.js';
import { asTendonError, type RobotFile } from '../types/index.js';
import { bringToRest, sayParting } from './ending.js';
import type { Operator } from './operator.js';
import { cancelled, openParts, type Parts, type RobotSessionOptions } from './robot-parts.js';

export type { RobotSessionOptions } from './robot-parts.js';

/** Why a session ended. */
export interface SessionEnd {
  readonly cause: string;
  /** An error that nobody caught ended it. */
  readonly fault?: unknown;
}

/**
 * A policy on a robot, everything wired: what `tendon run` opens. `await using` closes it, and the robot is stopped first.
 */
export class RobotSession {
  readonly file: RobotFile;
  readonly policy: SteerablePolicy;
  readonly robot: RosbridgeRobot;
  readonly controller: Controller;
  /** What a person may ask: stop, hold, resume, clear. */
  readonly operator: Operator;
  /** Resolves when the robot is at rest and everything is closed. */
  readonly ended: Promise<SessionEnd>;
  private resolveEnded!: (end: SessionEnd) => void;
  private ending: Promise<SessionEnd> | undefined;

  private constructor(
    private readonly parts: Parts,
    private readonly closing: Disposer,
  ) {
    this.file = parts.file;
    this.policy = parts.policy;
    this.robot = parts.robot;
    this.controller = parts.controller;
    this.operator = parts.operator;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
  }

  /**
   * Loads the policy, checks that it fits the robot, connects and opens recorder, page and metrics. Nothing moves before
   * `start`. Rejects with `config_invalid`, `bridge_unreachable`, …; whatever was opened is closed then.
   */
  static async open(options: RobotSessionOptions): Promise<RobotSession> {
    const closing = new Disposer();
    const early = new AbortController();
    let end = async (words: LastWords): Promise<unknown> => early.abort(words.cause);
    try {
      const parts = await openParts(options, closing, early.signal, (words) => end(words));
      const session = new RobotSession(parts, closing);
      end = (words) => session.end(words.cause, words.fault);
      if (early.signal.aborted) throw cancelled(early.signal);
      return session;
    } catch (caught) {
      await closing.dispose();
      throw caught;
    }
  }

  /** Where the page is, if there is one. */
  get page_url(): string | undefined {
    return this.parts.page?.url;
  }

  /** What the robot is to do, in words; undefined where nobody has said it. */
  get task(): string | undefined {
    return this.parts.words.current;
  }

  /** Changes it: in force with the next chunk. Throws `input_invalid` for an empty text. */
  setTask(text: string): void {
    this.parts.words.say(text, 'the program');
  }

  /** Sets the control loop going, and the policy as soon as the robot has been seen. */
  start(): void {
    const { log, service, controller, executor, dry, robot } = this.parts;
    executor?.start();
    const refused = preferControl();
    if (executor !== undefined && executor.stats().refused !== '') refused.push(executor.stats().refused);
    if (refused.length > 0) log.say(`  the control loop goes on without ${refused.join(' and ')}`);
    const summarise = dry?.show(robot, log);
    if (summarise !== undefined) this.closing.defer('dry run', summarise);
    collectGarbage();
    controller.start();
    service?.ready();
    if (service !== undefined && service.refused !== '')
      log.say(`  systemd was not told: ${service.refused}`);
    service?.watch(() =>
      executor === undefined ? [controller.stats.ticks] : [controller.stats.ticks, executor.stats().ticks],
    );
  }

  /** Brings the robot to rest and closes everything, once. Never rejects. */
  end(cause: string, fault?: unknown): Promise<SessionEnd> {
    this.ending ??= this.bringDown(fault === undefined ? { cause } : { cause, fault });
    return this.ending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('the program is done');
  }

  private async bringDown(end: SessionEnd): Promise<SessionEnd> {
    const { log, service, controller, executor, link } = this.parts;
    const failed = (what: string, caught: unknown): void =>
      log.record('fault', { what }, `${what}: ${asTendonError(caught, 'ending').message}`);
    if (end.fault !== undefined) failed('the session ends by a fault', end.fault);
    service?.stopping();
    try {
      await bringToRest(controller, end.cause);
      await controller.stop();
    } catch (caught) {
      failed('the robot may not be at rest', caught);
    }
    sayParting(link, controller, log);
    const executed = executor?.stats();
    const { deadline_misses } = controller.stats;
    const commands = executed?.commands ?? controller.stats.commands;
    const { interventions } = controller.supervisor;
    for (const { name, caught } of await this.closing.dispose()) failed(name, caught);
    log.record(
      'end',
      { commands, deadline_misses, interventions },
      `${commands} commands, ${deadline_misses} deadline misses, ${interventions} interventions`,
    );
    if (executed !== undefined)
      log.say(
        `executor: late p99 ${(executed.late_p99_ns / 1000).toFixed(0)} µs, max ${(executed.late_max_ns / 1000).toFixed(0)} µs, ${executed.missed_holds} missed holds`,
      );
    this.resolveEnded(end);
    return end;
  }
}
