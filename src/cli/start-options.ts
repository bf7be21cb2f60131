// What `tendon start` may be told.

import { PAGE_PORT } from '../session/serve-page.js';
import { PAGE_NAME_OPTION, PARTS_OPTION, POLICY_OPTIONS, TOKEN_OPTION } from './command.js';
import { RECORD_OPTION } from './recording.js';

export const START_OPTIONS = {
  task: { type: 'string', default: 'arm', help: 'simulated task: arm, block-push, maze, pusht' },
  policy: { type: 'string', help: 'checkpoint folder; default models/TASK' },
  seed: { type: 'string', default: '0', help: 'first episode' },
  port: {
    type: 'string',
    help: `port of the page on this machine, 0 for a free one; default ${PAGE_PORT}, or a free one where that is taken`,
  },
  host: {
    type: 'string',
    default: '127.0.0.1',
    help: 'address of the page; anything but loopback needs a token',
  },
  ...TOKEN_OPTION,
  ...PAGE_NAME_OPTION,
  headless: { type: 'boolean', default: false, help: 'no page: run episodes and print a table' },
  episodes: { type: 'string', default: '20', help: 'how many, with --headless' },
  ...RECORD_OPTION,
  ...PARTS_OPTION,
  ...POLICY_OPTIONS,
} as const;
