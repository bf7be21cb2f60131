// The rosauth op, which ROS 1's rosbridge_suite asks for before anything else when it runs with authentication.

import { packageWhenNeeded } from '../../types/index.js';
import type { Op } from '../codec/protocol.js';

const nodeCrypto = packageWhenNeeded<typeof import('node:crypto')>('node:crypto');

export interface RosAuth {
  /** The secret that both sides share. */
  readonly secret: string;
  readonly client: string;
  readonly dest: string;
}

const VALID_S = 3600;

/** A SHA-512 over secret and fields, in rosauth's order. */
export function rosauth({ secret, client, dest }: RosAuth): Op<'auth'> {
  const rand = nodeCrypto().randomBytes(12).toString('hex');
  const t = Math.floor(Date.now() / 1000);
  const end = t + VALID_S;
  const level = 'user';
  const mac = nodeCrypto()
    .createHash('sha512')
    .update(`${secret}${client}${dest}${rand}${t}${level}${end}`)
    .digest('hex');
  return { op: 'auth', mac, client, dest, rand, t, level, end };
}
