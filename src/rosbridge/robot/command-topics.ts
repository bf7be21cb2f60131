// Commands → messages on the topics of a robot file. Each goes out now or not at all, and why not is counted.

import type { Clock, Command, Observation, RobotFile } from '../../types/index.js';
import type { BridgeClient } from '../client/client.js';
import type { Publisher } from '../client/offers.js';
import type { Message } from '../codec/protocol.js';
import { epochStamp } from '../codec/time.js';
import { commandWriter } from './command-writer.js';
import { isGoal } from './goal-sender.js';
import { Units } from './units.js';
import type { Write } from './writers.js';

/** Commands that were not sent, by cause. */
export interface CommandDrops {
  offline: number;
  no_fresh_observation: number;
  expired: number;
  invalid: number;
  backlog: number;
}

/** The command of a period is in the goal that was sent before it. */
const IN_THE_GOAL: Publisher = { publish: () => true, close: () => undefined };

export class CommandTopics {
  readonly drops: CommandDrops = { offline: 0, no_fresh_observation: 0, expired: 0, invalid: 0, backlog: 0 };
  private client: BridgeClient | undefined;
  private seen_ns = Number.NEGATIVE_INFINITY;
  private readonly parts: readonly { publisher: Publisher | undefined; readonly write: Write }[];

  /** Throws `unsupported` or `config_invalid` for a part that cannot be written. `latest`: what is observed. */
  constructor(
    private readonly file: RobotFile,
    private readonly clock: Pick<Clock, 'now_ns'>,
    private readonly latest: () => Observation | undefined,
  ) {
    const units = new Units(file.units);
    this.parts = file.command.parts.map((part) => ({
      publisher: isGoal(part) ? IN_THE_GOAL : undefined,
      write: commandWriter(part, file, units),
    }));
  }

  advertise(client: BridgeClient): void {
    this.client = client;
    this.file.command.parts.forEach(({ topic, type, qos }, i) => {
      const options = { channel: 'commands', qos: qos === undefined ? undefined : { ...qos } } as const;
      this.parts[i]!.publisher ??= client.advertise(topic, type, options);
    });
  }

  /** What was seen of the robot is past: nothing leaves until it is seen again. */
  forget(): void {
    this.seen_ns = Number.NEGATIVE_INFINITY;
  }

  /** `open`: the connection of commands stands. */
  send(command: Command, open: boolean): boolean {
    const now_ns = this.clock.now_ns();
    const cause = this.objection(command, now_ns, open);
    if (cause !== undefined) {
      ++this.drops[cause];
      return false;
    }
    const stamp = this.client?.clock.toServer(command.stamp_ns) ?? epochStamp();
    const good_for_ms = (command.expires_ns - now_ns) / 1e6;
    let whole = true;
    // What one topic cannot take now does not keep another from its newest command.
    for (const { publisher, write } of this.parts)
      whole = publisher?.publish(write(command.values, stamp), good_for_ms) === true && whole;
    if (!whole) ++this.drops.backlog;
    return whole;
  }

  /** What `send` would publish for `values` now, by topic. */
  messages(values: Float64Array): Readonly<Record<string, Message>> {
    return Object.fromEntries(
      this.file.command.parts.map(({ topic }, i) => [topic, this.parts[i]!.write(values, epochStamp())]),
    );
  }

  private objection(command: Command, now_ns: number, open: boolean): keyof CommandDrops | undefined {
    if (!open) return 'offline';
    this.seen_ns = Math.max(this.seen_ns, this.latest()?.stamp_ns ?? this.seen_ns);
    const { deadlines, command: file, joint_names } = this.file;
    // A robot that has not been seen since the connection opened, or is gone. What is between fresh and gone, what one bad
    // message means, and that observations' own connection is lost, is for control to judge, which still has to brake.
    if (now_ns - this.seen_ns > deadlines.no_data_ms * 1e6) return 'no_fresh_observation';
    if (now_ns > command.expires_ns || now_ns - command.stamp_ns > file.lifetime_ms * 1e6) return 'expired';
    const { values } = command;
    if (values.length !== joint_names.length || !values.every(Number.isFinite)) return 'invalid';
    return undefined;
  }
}
