// An episode on a simulated robot, in real time: physics in a process of its own, behind rosbridge as a real robot is.
// `node examples/simulated.mjs [TASK]`
import { runEpisodes } from 'tendon';

const report = await runEpisodes({ task: process.argv[2] ?? 'arm', onNote: console.log }, 1);
console.log(`${report.successes} of ${report.results.length} succeeded, ${report.ticks} ticks`);
console.log(`the supervisor stepped in: ${JSON.stringify(report.interventions)}`);
