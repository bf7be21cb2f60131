// Addresses of a rosbridge server, as people write them.

import { TendonError } from '../types/index.js';

/** Whether it is a WebSocket address that can be dialled. */
export const isBridgeAddress = (text: string): boolean =>
  /^wss?:\/\/[^\s]+$/.test(text) && URL.canParse(text);

/** HOST:PORT without a scheme is ws. Throws `config_invalid`; `what` says where it was written. */
export function bridgeAddress(text: string, what: string): string {
  const address = /^(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):\d+\/?$/.test(text) ? `ws://${text}` : text;
  if (isBridgeAddress(address)) return address;
  throw new TendonError(
    'config_invalid',
    `${what}: expected a WebSocket address such as ws://127.0.0.1:9090, got "${text}"`,
  );
}
