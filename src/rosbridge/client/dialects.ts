// How the servers that users run differ, one row each. Facts with their evidence: docs/protocol.md.

import type { BridgeDialect } from '../../types/index.js';
import { isSerialisable, type Serialisation } from '../codec/cdr.js';
import type { Compression } from '../codec/decoder.js';
import { canonicalType, ros2Type } from '../codec/protocol.js';

export interface Dialect {
  readonly name: Exclude<BridgeDialect, 'auto'>;
  readonly time: 'sec' | 'secs';
  /** How service and action types are spelled; topic types go out as pkg/Type, which every server takes. */
  readonly service_type: 'pkg/Type' | 'pkg/srv/Type';
  /** Whether it understands CBOR from the client. */
  readonly cbor_in: boolean;
  readonly bytes: 'base64' | 'list';
  readonly actions: boolean;
  /** What is inside cbor-raw. */
  readonly serialisation: Serialisation;
  /** Whether CBOR or PNG is of use for a type. */
  compresses(type: string): boolean;
}

/** Types with string[] fields, which ROS 1's rosbridge_suite silently fails to put into CBOR. */
const WITH_STRING_LISTS = /\/(JointState|JointTrajectory|JointJog|MultiDOF\w+|TFMessage)$/;

export const DIALECTS: Readonly<Record<Dialect['name'], Dialect>> = {
  embedded: {
    name: 'embedded',
    time: 'sec',
    service_type: 'pkg/srv/Type',
    cbor_in: true,
    bytes: 'base64',
    actions: true,
    serialisation: 'cdr',
    compresses: () => true,
  },
  rosbridge_suite_ros1: {
    name: 'rosbridge_suite_ros1',
    time: 'secs',
    service_type: 'pkg/Type',
    cbor_in: false,
    bytes: 'base64',
    actions: false,
    serialisation: 'ros1',
    compresses: (type) => !WITH_STRING_LISTS.test(type),
  },
  rosbridge_suite_ros2: {
    name: 'rosbridge_suite_ros2',
    time: 'sec',
    service_type: 'pkg/srv/Type',
    cbor_in: false,
    bytes: 'base64',
    actions: true,
    serialisation: 'cdr',
    compresses: () => true,
  },
  'ros2-web-bridge': {
    name: 'ros2-web-bridge',
    time: 'sec',
    service_type: 'pkg/srv/Type',
    cbor_in: false,
    bytes: 'list',
    actions: false,
    serialisation: 'cdr',
    compresses: () => false,
  },
};

/** The service or action type as the server wants it. */
export function spellType(dialect: Dialect, type: string, kind: 'srv' | 'action'): string {
  return dialect.service_type === 'pkg/Type' ? canonicalType(type) : ros2Type(type, kind);
}

/** A message with the server's spelling of time; the same object when nothing changes. */
export function spellTimes(dialect: Dialect, value: unknown): unknown {
  if (dialect.time === 'sec' || typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) {
    return value;
  }
  if (Array.isArray(value)) {
    return typeof value[0] === 'object' ? value.map((item) => spellTimes(dialect, item)) : value;
  }
  const entries = Object.entries(value);
  if (entries.length === 2 && 'sec' in value && 'nanosec' in value) {
    return { secs: value.sec, nsecs: value.nanosec };
  }
  return Object.fromEntries(entries.map(([key, item]) => [key, spellTimes(dialect, item)]));
}

/** The compression to ask for: the wanted one, unless the server or we cannot use it for `type`. */
export function chooseCompression(dialect: Dialect, wanted: Compression, type: string): Compression {
  // Raw bytes hold string[] as well as anything; what they cannot do is name a type that we do not know.
  if (wanted === 'cbor-raw' && isSerialisable(type) && dialect.name !== 'ros2-web-bridge') return wanted;
  if (wanted === 'none' || !dialect.compresses(type)) return 'none';
  return wanted === 'cbor-raw' ? 'cbor' : wanted;
}
