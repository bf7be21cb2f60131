// What `tendon run` may be told.

import { PAGE_NAME_OPTION, PARTS_OPTION, POLICY_OPTIONS, TOKEN_OPTION } from './command.js';
import { RECORD_OPTION } from './recording.js';

export const RUN_OPTIONS = {
  policy: { type: 'string', help: 'checkpoint folder, or hf:OWNER/NAME@REVISION' },
  robot: { type: 'string', help: 'robot file: topics, joint order, limits, deadlines' },
  bridge: { type: 'string', help: 'rosbridge address; default: the robot file’s' },
  'position-key': {
    type: 'string',
    help: 'observation that holds the measured values of what is commanded; default: the robot file’s',
  },
  seed: { type: 'string', default: '0', help: 'of the policy’s noise' },
  ...RECORD_OPTION,
  'dry-run': {
    type: 'boolean',
    default: false,
    help: 'everything but publishing commands, which are shown',
  },
  page: { type: 'string', help: 'port of a live page with HOLD, STOP and plots; 0 takes a free one' },
  'page-host': {
    type: 'string',
    default: '127.0.0.1',
    help: 'address of the page; anything but loopback needs a token',
  },
  metrics: { type: 'string', help: 'port for GET /metrics (Prometheus); 0 takes a free one' },
  'metrics-host': {
    type: 'string',
    default: '127.0.0.1',
    help: 'address of /metrics; anything but loopback needs a token',
  },
  ...TOKEN_OPTION,
  ...PAGE_NAME_OPTION,
  log: { type: 'string', default: 'pretty', help: 'pretty, json (one object a line) or silent' },
  ...PARTS_OPTION,
  ...POLICY_OPTIONS,
} as const;
