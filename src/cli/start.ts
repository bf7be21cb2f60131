// `tendon start`: the main job. A simulated robot in its own process, the policy that drives it, and a page to watch
// and disturb them; or, with --headless, episodes and a table.

import { runEpisodes } from '../session/episodes.js';
import { servePage } from '../session/serve-page.js';
import { LiveSession } from '../session/sim-page.js';
import type { EpisodeResult } from '../session/sim-session.js';
import { type Command, loadOptions, pageNames, partsOf, tokenOf } from './command.js';
import { episodeLine, episodesText } from './episodes-text.js';
import { START_OPTIONS } from './start-options.js';

export const start: Command = {
  summary: 'run a simulated robot with its trained policy and a live page',
  usage: 'tendon start [DIR] [--task arm] [--headless --episodes 20] [--port 8080]',
  examples: [
    'tendon start',
    'tendon start --task pusht --record session.mcap',
    'tendon start models/mine --task arm --headless --episodes 20',
  ],
  takes: 'policy',
  live: true,
  options: START_OPTIONS,
  async run(values, { integer, text, say, stopped }) {
    const common = {
      task: text('task'),
      seed: integer('seed', 0, 1e9),
      ...(values.policy === undefined ? {} : { policy: text('policy') }),
      ...(values.record === undefined ? {} : { record: text('record') }),
      load: loadOptions(values),
      parts: partsOf(values),
    };
    const onNote = (note: string): void => say(`  ${note}`);
    if (values.headless === true) {
      const episodes = integer('episodes', 1, 1e6);
      say(`${common.task}: ${episodes} episodes in real time, simulation in its own process`);
      let done = 0;
      const onEpisode = (result: EpisodeResult): void => say(episodeLine(result, ++done, episodes));
      const report = await runEpisodes({ ...common, onNote, onEpisode }, episodes, stopped);
      say(episodesText(report));
      return report.results.length >= episodes ? 0 : 1;
    }
    say(`starting ${common.task}: simulation, policy, controller …`);
    const live = await LiveSession.open({ ...common, onNote });
    const ending = stopped();
    const web = await servePage(live, {
      host: text('host'),
      port: values.port === undefined ? undefined : integer('port', 0, 65535),
      token: tokenOf(values),
      hosts: pageNames(values),
    });
    say(
      `\n  the page:   ${web.url}\n  the bridge: ${live.current.bridge_url} (rosbridge v2)\n  metrics:    ${web.url}metrics (Prometheus)\n\nCtrl-C ends everything.`,
    );
    await ending;
    say('\nstopping …');
    await web.close();
    await live.close();
    return 0;
  },
};
