// `tendon start`: the main job. A simulated robot in its own process, the policy that drives it, and a page to watch
// and disturb them; or, with --headless, episodes and a table.

import { INTERVENTIONS, type Intervention, type Miss, type Supervisor } from '../control/index.js';
import { wilson } from '../eval/wilson.js';
import { type MachineReport, MachineWatch, ofItself } from '../host/machine-watch.js';
import { LiveSession } from '../session/sim-page.js';
import { type EpisodeResult, SimSession } from '../session/sim-session.js';
import { NS_PER_S } from '../types/index.js';
import { startWebServer, type WebServer } from '../web/index.js';
import type { Command } from './command.js';
import {
  loadOptions,
  PAGE_NAME_OPTION,
  PARTS_OPTION,
  POLICY_OPTIONS,
  pageNames,
  partsOf,
  TOKEN_OPTION,
  tokenOf,
} from './command.js';
import { RECORD_OPTION } from './recording.js';

const PAGE_PORT = 8080;

export const start: Command = {
  summary: 'run a simulated robot with its trained policy and a live page',
  usage: 'tendon start [DIR] [--task arm] [--headless --episodes 20] [--port 8080]',
  examples: [
    'tendon start',
    'tendon start --task pusht --record session.mcap',
    'tendon start models/mine --task arm --headless --episodes 20',
  ],
  takes: 'policy',
  options: {
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
  },
  async run(values, { integer, text, say, stopped }) {
    const common = {
      task: text('task'),
      seed: integer('seed', 0, 1e9),
      ...(values.policy === undefined ? {} : { policy: text('policy') }),
      ...(values.record === undefined ? {} : { record: text('record') }),
      load: loadOptions(values),
      parts: partsOf(values),
    };
    if (values.headless === true) return headless(common, integer('episodes', 1, 1e6), say, stopped);
    say(`starting ${common.task}: simulation, policy, controller …`);
    const live = await LiveSession.open({ ...common, onNote: (note) => say(`  ${note}`) });
    const serve = (port: number): Promise<WebServer> =>
      startWebServer(live, {
        host: text('host'),
        port,
        token: tokenOf(values),
        hosts: pageNames(values),
        extra: {
          '/metrics': async () => ({ type: live.metrics.content_type, body: await live.metrics.text() }),
        },
      });
    const web = await (values.port === undefined
      ? serve(PAGE_PORT).catch(() => serve(0))
      : serve(integer('port', 0, 65535))
    ).catch(async (caught) => {
      await live.close();
      throw caught;
    });
    say(
      `\n  the page:   ${web.url}\n  the bridge: ${live.current.bridge_url} (rosbridge v2)\n  metrics:    ${web.url}metrics (Prometheus)\n\nCtrl-C ends everything.`,
    );
    await stopped();
    say('\nstopping …');
    await web.close();
    await live.close();
    return 0;
  },
};

async function headless(
  options: Parameters<typeof SimSession.open>[0],
  episodes: number,
  say: (text: string) => void,
  stopped: () => Promise<void>,
): Promise<number> {
  const results: EpisodeResult[] = [];
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  say(`${options.task}: ${episodes} episodes in real time, simulation in its own process`);
  const session = await SimSession.open({
    ...options,
    onEpisode: (result) => {
      results.push(result);
      say(
        `  ${String(results.length).padStart(3)}/${episodes}  seed ${String(result.seed).padEnd(5)} ${result.success ? 'success' : 'failure'}  ${result.seconds.toFixed(1).padStart(5)} s  ${result.mode}`,
      );
      if (results.length >= episodes) finish();
    },
    onNote: (note) => say(`  ${note}`),
  });
  const watch = new MachineWatch(session.clock);
  session.go();
  await Promise.race([finished, stopped()]);
  const { stats, supervisor } = session.controller;
  const machine = watch.end(stats.misses, NS_PER_S / session.rate_hz);
  const won = results.filter((r) => r.success).length;
  const [low, high] = wilson(won, Math.max(1, results.length));
  const [late50, late99] = stats.late_us.quantiles(0.5, 0.99);
  const [infer50, infer99] = stats.infer_ms.quantiles(0.5, 0.99);
  await session.close();
  say(`
  success            ${won}/${results.length}  (95 % interval ${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)} %)
  control ticks      ${stats.ticks}, deadline misses ${stats.deadline_misses}${ofTheMachine(machine, stats.misses)}
  tick lateness      p50 ${late50?.toFixed(0)} µs, p99 ${late99?.toFixed(0)} µs, worst ${(stats.worst_late_ns / 1e6).toFixed(2)} ms
  the machine        ${ofItself(machine)}
  inference          p50 ${infer50?.toFixed(1)} ms, p99 ${infer99?.toFixed(1)} ms
  interventions      ${byCause(supervisor)}`);
  return results.length >= episodes ? 0 : 1;
}

/** Whose the misses were, as far as it can be told. */
function ofTheMachine(machine: MachineReport | string, misses: readonly Miss[]): string {
  if (misses.length === 0 || typeof machine === 'string') return '';
  return `, in ${misses.length} ticks; ${machine.its_misses} of these while the machine itself stood still`;
}

/** How often the supervisor stepped in, and why. */
function byCause({ counts }: Supervisor): string {
  const some = (Object.keys(INTERVENTIONS) as Intervention[]).filter((cause) => counts[cause] > 0);
  if (some.length === 0) return 'none';
  return some.map((cause) => `${counts[cause]} × ${INTERVENTIONS[cause]}`).join('\n                     ');
}
