// What people say through the bridge: a stop, that somebody is there, where a leader device is. Each is told as it
// arrives. Stops and heartbeats have a connection of their own, which no picture or map can be in front of.

import { Emitter } from '../../base/emitter.js';
import type { LeaderFile, RobotFile } from '../../types/index.js';
import type { BridgeClient } from '../client/client.js';
import { SAID_ONCE } from '../client/subscriptions.js';
import type { Message } from '../codec/protocol.js';
import { leaderReader } from './leader-reader.js';

/** What a person may say through the bridge; each is called as the message arrives. */
export interface OperatorListener {
  stop(cause: string): void;
  /** The stop topic said false: its state is known, and it is no stop. */
  clear?(): void;
  beat(): void;
  /** A reading of the leader device, and its clutch where that is a topic of its own. */
  leader?(reading: { values: number[]; clutch?: boolean }): void;
  clutch?(closed: boolean): void;
  /** What the robot is to do, in words. */
  task?(text: string, topic: string): void;
}

export class Operators {
  private readonly said = new Emitter<(operator: OperatorListener) => void>('operators');

  constructor(
    private readonly client: BridgeClient,
    private readonly file: RobotFile,
    private readonly notice: (text: string) => void,
  ) {
    this.listenToStops();
    this.listenToBeats();
    if (file.teleop !== undefined) this.listenToLeader(file.teleop);
    if (file.task?.topic !== undefined) this.listenToTask(file.task.topic, file.task.type);
  }

  /** Returns the way to stop. */
  on(listener: OperatorListener): () => void {
    return this.said.on((say) => say(listener));
  }

  /** Unthrottled: a stop must not wait for anything. */
  private listenToStops(): void {
    const { stop } = this.file;
    const say = (cause: string): void => this.tell((operator) => operator.stop(cause));
    if (stop?.topic !== undefined)
      this.client.subscribe(
        stop.topic,
        stop.type,
        // Only a Bool that says false is not a stop: when in doubt, stop.
        ({ data }) => {
          if (data !== false) say(`stopped by ${stop.topic}`);
          else this.tell((operator) => operator.clear?.());
        },
        {
          channel: 'safety',
          queue_length: SAID_ONCE,
          qos: stop.qos === undefined ? undefined : { ...stop.qos },
        },
      );
    if (stop?.service !== undefined)
      this.client.advertiseService(
        stop.service,
        'std_srvs/Trigger',
        () => {
          say(`stopped by a call of ${stop.service}`);
          return { success: true, message: 'stopped' };
        },
        'safety',
      );
  }

  private listenToBeats(): void {
    const { operator_heartbeat } = this.file;
    if (operator_heartbeat === undefined) return;
    const { topic, type } = operator_heartbeat;
    this.client.subscribe(topic, type, () => this.tell((operator) => operator.beat()), {
      channel: 'safety',
    });
  }

  private listenToLeader(teleop: LeaderFile): void {
    const read = leaderReader(teleop, this.file);
    let refused = '';
    const take = (msg: Message): void => {
      let reading: ReturnType<typeof read>;
      try {
        reading = read(msg);
      } catch (caught) {
        // To the controller a leader that says nothing usable is one that fell silent; people are told why.
        const why = caught instanceof Error ? caught.message : String(caught);
        if (why !== refused) this.notice(why);
        refused = why;
        return;
      }
      refused = '';
      this.tell((operator) => operator.leader?.(reading));
    };
    this.client.subscribe(teleop.topic, teleop.type, take, { queue_length: 1 });
    if (teleop.clutch !== undefined && 'topic' in teleop.clutch)
      this.client.subscribe(
        teleop.clutch.topic,
        'std_msgs/Bool',
        ({ data }) => this.tell((operator) => operator.clutch?.(data === true)),
        { queue_length: SAID_ONCE },
      );
  }

  private listenToTask(topic: string, type: string): void {
    const take = ({ data }: Message): void => {
      if (typeof data === 'string') this.tell((operator) => operator.task?.(data, topic));
      else this.notice(`${topic}: expected a text as data, got ${typeof data}`);
    };
    this.client.subscribe(topic, type, take, { queue_length: SAID_ONCE });
  }

  private tell(what: (operator: OperatorListener) => void): void {
    this.said.emit(what);
  }
}
