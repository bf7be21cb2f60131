// Which server is at the other end, from what it says and never from what it does not: ours by its header, rosbridge_suite
// by how /rosapi/get_time spells its time, ros2-web-bridge by the remark with which it answers a nonsense level. Where
// rosapi is absent the first stamp in a message tells ROS 1 from ROS 2; until then nothing is published.

import type { BridgeDialect } from '../../types/index.js';
import type { Message, Op } from '../codec/protocol.js';
import type { Asked } from './clock-keeper.js';
import { DIALECTS, type Dialect } from './dialects.js';

/** The id of the question that only ros2-web-bridge answers. */
const PROBE = 'tendon-which-server';

export class DialectFinder {
  /** Undefined until known. Before it is `sure`, only what all versions of rosbridge_suite have in common counts. */
  current: Dialect | undefined;
  sure: boolean;
  private readonly configured: boolean;

  constructor(wish: BridgeDialect = 'auto') {
    this.configured = wish !== 'auto';
    this.current = wish === 'auto' ? undefined : DIALECTS[wish];
    this.sure = this.configured;
  }

  /** The question for ros2-web-bridge; undefined where there is none left. */
  get probe(): Op<'set_level'> | undefined {
    return this.configured || this.current?.name === 'embedded'
      ? undefined
      : { op: 'set_level', id: PROBE, level: 'which server is this?' };
  }

  /** A connection opened: the server names itself, or is another one than before. */
  opened(embedded: boolean): void {
    if (this.configured) return;
    if (embedded) this.settle('embedded');
    else if (this.current?.name === 'embedded') this.current = undefined;
    if (this.current === undefined) this.sure = false;
  }

  /** What /rosapi/get_time came to; true where that changed what is known. */
  answered(asked: Asked): boolean {
    if (this.configured || this.current?.name === 'embedded') return false;
    const before = this.sure ? this.current : undefined;
    if (asked === 'secs') this.settle('rosbridge_suite_ros1');
    else if (asked === 'sec') this.settle('rosbridge_suite_ros2');
    // Both answer what they do not know; which of the two it is, the first stamp says.
    else if (asked === 'refused' && !this.sure) this.current = DIALECTS.rosbridge_suite_ros2;
    return this.sure && this.current !== before;
  }

  /** Nothing was answered: ros2-web-bridge answers no call that it does not know. It may be one that is slow, too. */
  guess(): void {
    this.current ??= DIALECTS['ros2-web-bridge'];
  }

  /** A remark of the server; true where it was the answer to the probe. */
  remarked({ id }: Op<'status'>): boolean {
    if (id !== PROBE) return false;
    if (!this.configured) this.settle('ros2-web-bridge');
    return true;
  }

  /** A message came: its stamp is spelled as the server's ROS does. True where that changed what is known. */
  heard(msg: Message): boolean {
    if (this.configured || this.current === undefined) return false;
    const spelling = spellingOf(msg);
    const { name, time } = this.current;
    if (spelling === undefined || (this.sure && (spelling === time || name === 'embedded'))) return false;
    this.settle(spelling === 'secs' ? 'rosbridge_suite_ros1' : 'rosbridge_suite_ros2');
    return true;
  }

  private settle(name: Dialect['name']): void {
    this.current = DIALECTS[name];
    this.sure = true;
  }
}

/** How the stamp of a message's header, or of its first transform, is spelled. */
function spellingOf(msg: Message): 'sec' | 'secs' | undefined {
  const first = Array.isArray(msg.transforms) ? msg.transforms[0] : msg;
  const stamp = first?.header?.stamp;
  if (typeof stamp !== 'object' || stamp === null) return undefined;
  return 'secs' in stamp ? 'secs' : 'sec' in stamp ? 'sec' : undefined;
}
