// `--record`, for the commands that run a session.

import type { OptionSpec } from './command.js';

export const RECORD_OPTION = {
  record: {
    type: 'string',
    help: 'new file (.mcap) that gets everything for replay, Foxglove and data sets',
  },
} as const satisfies Record<string, OptionSpec>;
