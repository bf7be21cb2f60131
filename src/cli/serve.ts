// `tendon serve`: a policy for programs that speak openpi's wire.

import { servePolicy } from '../serve/index.js';
import { loadSteered } from '../steering/index.js';
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
  summary: 'serve a policy on the wire of openpi’s policy server',
  usage: 'tendon serve DIR [--port 8000] [--host 0.0.0.0 --token-file FILE]',
  examples: ['tendon serve models/arm', 'tendon serve models/mine --host 0.0.0.0 --token-file token.txt'],
  takes: 'policy',
  options: {
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
    const server = await servePolicy({
      policy,
      port: integer('port', 0, 65_535),
      host: text('host'),
      token: tokenOf(values),
      seed: integer('seed', 0, 1e9),
    });
    const { family, horizon, action_dim, observation_dims, image_shapes } = policy.spec;
    say(
      `  ${family}: ${Object.keys({ ...observation_dims, ...image_shapes }).join(', ')} → ${horizon} × ${action_dim}`,
    );
    say(`  ${server.url}   (Ctrl-C ends it)`);
    await stopped();
    await server.close();
    policy.close();
    return 0;
  },
};
