// What people say through the bridge: a stop, that somebody is there, where a leader device is. Each is told as it arrives.

import { guarded } from '../../base/index.js';
import type { LeaderFile, RobotFile } from '../../types/index.js';
import type { BridgeClient } from '../client/client.js';
import { SAID_ONCE } from '../client/subscriptions.js';
import type { Message } from '../codec/protocol.js';
import { leaderReader } from './leader-reader.js';

/** What a person may say through the bridge; each is called as the message arrives. */
export interface OperatorListener {
  stop(cause: string): void;
  beat(): void;
  /** A reading of the leader device, and its clutch where that is a topic of its own. */
  leader?(reading: { values: number[]; clutch?: boolean }): void;
  clutch?(closed: boolean): void;
}

export class Operators {
  private readonly listeners = new Set<OperatorListener>();

  constructor(
    private readonly client: BridgeClient,
    private readonly file: RobotFile,
  ) {
    this.listenToStops();
    this.listenToBeats();
    if (file.teleop !== undefined) this.listenToLeader(file.teleop);
  }

  /** Returns the way to stop. */
  on(listener: OperatorListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** By requests of their own, unthrottled: a stop must not wait for anything. */
  private listenToStops(): void {
    const { stop } = this.file;
    const say = (cause: string): void => this.tell((operator) => operator.stop(cause));
    if (stop?.topic !== undefined)
      this.client.subscribe(
        stop.topic,
        stop.type,
        // Only a Bool that says false is not a stop: when in doubt, stop.
        ({ data }) => data !== false && say(`stopped by ${stop.topic}`),
        { channel: 'commands', queue_length: SAID_ONCE },
      );
    if (stop?.service !== undefined)
      this.client.advertiseService(stop.service, 'std_srvs/Trigger', () => {
        say(`stopped by a call of ${stop.service}`);
        return { success: true, message: 'stopped' };
      });
  }

  private listenToBeats(): void {
    const { operator_heartbeat } = this.file;
    if (operator_heartbeat === undefined) return;
    const { topic, type } = operator_heartbeat;
    this.client.subscribe(topic, type, () => this.tell((operator) => operator.beat()), {
      channel: 'commands',
    });
  }

  private listenToLeader(teleop: LeaderFile): void {
    const read = leaderReader(teleop, this.file);
    const take = (msg: Message): void => {
      const reading = read(msg);
      this.tell((operator) => operator.leader?.(reading));
    };
    this.client.subscribe(teleop.topic, teleop.type, take, { channel: 'commands', queue_length: 1 });
    if (teleop.clutch !== undefined && 'topic' in teleop.clutch)
      this.client.subscribe(
        teleop.clutch.topic,
        'std_msgs/Bool',
        ({ data }) => this.tell((operator) => operator.clutch?.(data === true)),
        { channel: 'commands', queue_length: SAID_ONCE },
      );
  }

  private tell(what: (operator: OperatorListener) => void): void {
    // What one of them fails at must not keep a stop from the others.
    for (const operator of this.listeners) guarded('operator', () => what(operator));
  }
}
