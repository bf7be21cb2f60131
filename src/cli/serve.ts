// `tendon serve`: a policy for programs that speak openpi's wire, or LeRobot's asynchronous inference.

import { serveLerobot, servePolicy } from '../serve/index.js';
import { loadSteered } from '../steering/index.js';
import { TendonError } from '../types/index.js';
import {
  type Command,
  loadOptions,
  PARTS_OPTION,
  POLICY_OPTIONS,
  partsOf,
  TOKEN_OPTION,
  tokenOf,
} from './command.js';

export const serve: Command = {
  summary: 'serve a policy to clients of openpi or LeRobot',
  usage: 'tendon serve DIR [--wire lerobot] [--port 8000] [--host 0.0.0.0 --token-file FILE]',
  examples: [
    'tendon serve models/arm',
    'tendon serve models/mine --host 0.0.0.0 --token-file token.txt',
    'tendon serve models/mine --wire lerobot --port 8080',
  ],
  takes: 'policy',
  live: true,
  options: {
    wire: {
      type: 'string',
      default: 'openpi',
      help: 'openpi: its policy server’s WebSocket; lerobot: its asynchronous inference (gRPC)',
    },
    port: { type: 'string', default: '8000', help: '0 takes a free one' },
    host: {
      type: 'string',
      default: '127.0.0.1',
      help: 'address to listen on; others than this machine need a token',
    },
    ...TOKEN_OPTION,
    seed: { type: 'string', default: '0', help: 'of the policy’s noise, anew for every client' },
    ...PARTS_OPTION,
    ...POLICY_OPTIONS,
  },
  async run(values, { text, integer, say, stopped }) {
    const policy = await loadSteered(text('policy'), loadOptions(values), { parts: partsOf(values) });
    const options = {
      policy,
      port: integer('port', 0, 65_535),
      host: text('host'),
      token: tokenOf(values),
      seed: integer('seed', 0, 1e9),
    };
    const { address, close } = await opened(text('wire'), options);
    const { family, horizon, action_dim, observation_dims, image_shapes } = policy.spec;
    say(
      `  ${family}: ${Object.keys({ ...observation_dims, ...image_shapes }).join(', ')} → ${horizon} × ${action_dim}`,
    );
    say(`  ${address}   (Ctrl-C ends it)`);
    await stopped();
    await close();
    policy.close();
    return 0;
  },
};

async function opened(wire: string, options: Parameters<typeof servePolicy>[0]) {
  if (wire === 'openpi') {
    const server = await servePolicy(options);
    return { address: server.url, close: () => server.close() };
  }
  if (wire === 'lerobot') {
    const server = await serveLerobot(options);
    return { address: `--server_address=${server.address}`, close: () => server.close() };
  }
  throw new TendonError('config_invalid', `--wire: expected openpi or lerobot, got "${wire}"`);
}
