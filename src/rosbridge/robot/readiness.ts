// Whether what this robot needs is really in place at the other end. Nothing in rosbridge is acknowledged, so rosapi is
// asked: does anybody subscribe to the command topics, has the bridge our subscription to the stop topic and our stop
// service, and does anybody else publish commands? Where there is no rosapi nobody can say, and that is said once.

import { type RobotFile, TendonError } from '../../types/index.js';
import type { BridgeClient } from '../client/client.js';
import { canonicalType } from '../codec/protocol.js';
import { isGoal } from './goal-sender.js';
import { cutList } from './reader-parts.js';

/** How often it is asked until everything is in place, and from then on. */
const SOON_MS = 250;
const LATER_MS = 2000;
const TRIGGER = 'std_srvs/Trigger';

export class Readiness {
  /** What is missing or in the way, for people; undefined before it was asked, empty when nothing is. */
  trouble: string | undefined;
  private readonly topics: readonly string[];
  private readonly exclusive: boolean;
  /** By command topic who published on it when only this client did. */
  private readonly ours = new Map<string, readonly string[]>();
  private timer: NodeJS.Timeout | undefined;
  /** Counts restarts: what was asked before one says nothing. */
  private era = 0;
  private told = false;

  /** `changed` is called when `trouble` is another than before, `notice` with what people should know. */
  constructor(
    private readonly client: BridgeClient,
    private readonly file: RobotFile,
    private readonly changed: () => void,
    private readonly notice: (text: string) => void,
  ) {
    this.topics = file.command.parts.filter((part) => !isGoal(part)).map(({ topic }) => topic);
    this.exclusive = file.command.exclusive;
  }

  /** Who publishes on the command topics before this client does: for people; empty when nobody does, or nobody can say. */
  async rivals(): Promise<string> {
    if (!this.exclusive || !this.asks) return '';
    const found = await Promise.all(
      this.topics.map(async (topic) => [topic, await this.names('publishers', topic)] as const),
    );
    return found.map(([topic, names]) => (names?.length ? rivalry(topic, names) : '')).find(Boolean) ?? '';
  }

  /** Begins anew: a connection opened and everything was advertised. */
  start(): void {
    this.stop();
    this.trouble = this.asks ? undefined : '';
    if (this.asks) void this.look(this.era);
    else this.tellUnknown();
  }

  stop(): void {
    ++this.era;
    clearTimeout(this.timer);
    this.trouble = undefined;
  }

  private get asks(): boolean {
    return this.client.dialect?.name !== 'ros2-web-bridge';
  }

  private async look(era: number): Promise<void> {
    const trouble = await this.find();
    if (era !== this.era) return;
    const before = this.trouble;
    this.trouble = trouble;
    if (trouble !== before) this.changed();
    this.timer = setTimeout(() => void this.look(era), trouble === '' ? LATER_MS : SOON_MS);
    this.timer.unref();
  }

  private async find(): Promise<string> {
    const { stop } = this.file;
    const checks = [
      // Our own server is in the robot's process, which may hear commands by other ways than a subscription.
      ...(this.client.dialect?.name === 'embedded' ? [] : this.topics.map((topic) => this.heard(topic))),
      ...(this.exclusive ? this.topics.map((topic) => this.alone(topic)) : []),
      ...(stop?.topic === undefined ? [] : [this.stopTopic(stop.topic)]),
      ...(stop?.service === undefined ? [] : [this.stopService(stop.service)]),
    ];
    return (await Promise.all(checks)).find((trouble) => trouble !== '') ?? '';
  }

  private async heard(topic: string): Promise<string> {
    const names = await this.names('subscribers', topic);
    return names === undefined || names.length > 0
      ? ''
      : `nobody subscribes to ${topic}: is the robot's driver or controller running, and is command.topic right?`;
  }

  private async alone(topic: string): Promise<string> {
    const names = await this.names('publishers', topic);
    if (names === undefined) return '';
    const known = this.ours.get(topic);
    if (known === undefined) {
      this.ours.set(topic, names);
      return '';
    }
    // A name that comes after a reconnect may be the bridge's own, begun anew: one is ours.
    const others = names.filter((name) => !known.includes(name));
    return others.length > 0 && names.length > 1 ? rivalry(topic, others) : '';
  }

  private async stopTopic(topic: string): Promise<string> {
    const names = await this.names('subscribers', topic);
    return names === undefined || names.length > 0
      ? ''
      : `the bridge has not subscribed to the stop topic ${topic}: a stop there would not be heard. Is its type ${this.file.stop?.type}?`;
  }

  private async stopService(service: string): Promise<string> {
    const answer = await this.ask('service_type', 'ServiceType', { service });
    if (answer === undefined) return '';
    return canonicalType(String(answer.type ?? '')) === TRIGGER
      ? ''
      : `the bridge does not offer the stop service ${service}: a call would not be heard`;
  }

  private async names(
    what: 'publishers' | 'subscribers',
    topic: string,
  ): Promise<readonly string[] | undefined> {
    const answer = await this.ask(what, what === 'publishers' ? 'Publishers' : 'Subscribers', { topic });
    const names = answer?.[what];
    return Array.isArray(names) ? names.map(String) : undefined;
  }

  /** Undefined where rosapi is absent or does not know the question. */
  private async ask(service: string, type: string, args: Record<string, string>) {
    try {
      return await this.client.call(`/rosapi/${service}`, `rosapi/${type}`, args);
    } catch (caught) {
      if (caught instanceof TendonError && caught.code === 'bridge_unreachable') return undefined;
      this.tellUnknown();
      return undefined;
    }
  }

  private tellUnknown(): void {
    if (this.told) return;
    this.told = true;
    this.notice(
      `${this.file.name}: the bridge has no rosapi that answers, so it is not known whether anybody hears ${cutList(this.topics)}${this.file.stop === undefined ? '' : ' and the stop'}, or whether anybody else publishes there. Run rosapi beside the bridge.`,
    );
  }
}

const rivalry = (topic: string, names: readonly string[]): string =>
  `${topic} is published by another already (${cutList(names)}): two would drive one robot. End the other (rosbridge forgets one that ended after 10 s), or set command.exclusive: false in the robot file if that is meant`;
