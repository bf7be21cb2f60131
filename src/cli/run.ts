// `tendon run`: a policy on a robot behind rosbridge, as its robot file says.

import { EXIT_FAULT, LastWill } from '../host/last-will.js';
import { openLog } from '../host/log.js';
import { RobotSession } from '../session/robot-session.js';
import {
  type Command,
  type Context,
  loadOptions,
  pageNames,
  partsOf,
  tokenOf,
  type Values,
} from './command.js';
import { operateByKeys } from './keys.js';
import { RUN_OPTIONS } from './run-options.js';

export const run: Command = {
  summary: 'run a policy on a robot behind rosbridge',
  usage: 'tendon run DIR --robot launch/FILE.yaml [--bridge ws://HOST:9090] [--page 8080] [--dry-run]',
  examples: [
    'tendon run models/mine --robot launch/so101.yaml --dry-run',
    'tendon run models/mine --robot launch/so101.yaml --page 8080 --record session.mcap',
    'tendon run models/arm --robot launch/sim-arm.yaml --bridge ws://192.168.1.20:9090',
  ],
  takes: 'policy',
  options: RUN_OPTIONS,
  async run(values, context) {
    const { text, integer } = context;
    const log = openLog(text('log'));
    try {
      const session = await RobotSession.open({
        robot: text('robot'),
        policy: text('policy'),
        load: loadOptions(values),
        parts: partsOf(values),
        bridge: optional(values, 'bridge', text),
        position_key: optional(values, 'position-key', text),
        seed: integer('seed', 0, 1e9),
        record: optional(values, 'record', text),
        dry_run: values['dry-run'] === true,
        page: address('page', values, context),
        metrics: address('metrics', values, context),
        log,
        will: new LastWill(),
        env: process.env,
      });
      const giveBack = operateByKeys(session, log);
      session.start();
      const { fault } = await session.ended;
      giveBack?.();
      return fault === undefined ? 0 : EXIT_FAULT;
    } finally {
      await log.close();
    }
  },
};

const optional = <T>(values: Values, name: string, read: (name: string) => T): T | undefined =>
  values[name] === undefined ? undefined : read(name);

/** Where --page or --metrics says; undefined without it. */
function address(name: 'page' | 'metrics', values: Values, { integer, text }: Context) {
  if (values[name] === undefined) return undefined;
  const port = integer(name, 0, 65535);
  return { port, host: text(`${name}-host`), token: tokenOf(values), hosts: pageNames(values) };
}
