export { type Address, Door, type DoorOptions, plain } from './door.js';
export {
  Guard,
  type GuardRules,
  hostAllowed,
  isLoopback,
  originAllowed,
  pathOf,
  type Refusal,
} from './guard.js';
export { refuseUpgrade } from './refuse.js';
export { readToken, sameSecret, TOKEN_VARIABLE } from './secret.js';
export { Sockets, type SocketsOptions } from './sockets.js';
