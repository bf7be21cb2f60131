// A session that runs for a while and says how many objects of each kind it holds, early and late.
import { queryObjects } from 'node:v8';
import { LastWill, RobotSession } from '../../dist/index.js';

const [robot, policy, bridge, record, seconds] = process.argv.slice(2);
const session = await RobotSession.open({
  ...{ robot, policy, bridge, record },
  will: new LastWill(),
  page: {},
  metrics: { port: 0 },
});
const KINDS = [Object, Array, Map, Set, Promise, Error, ArrayBuffer, Float32Array, Float64Array, Function];
// A machine that is busy with other things fills the list of misses, which has an end.
const listed = { Object: () => session.controller.stats.misses.length };
const count = () =>
  Object.fromEntries(KINDS.map((kind) => [kind.name, queryObjects(kind) - (listed[kind.name]?.() ?? 0)]));
const wait = (s) => new Promise((resolve) => setTimeout(resolve, 1000 * s));
process.send(session.page_url);
session.start();
await wait(8);
const ticks = session.controller.stats.ticks;
const early = count();
const memory = [];
const began = performance.now();
const sample = setInterval(() => {
  const { rss, heapUsed, external } = process.memoryUsage();
  memory.push({ s: (performance.now() - began) / 1000, rss, heapUsed, external });
}, 1000);
await wait(Number(seconds));
clearInterval(sample);
const late = count();
process.send({ early, late, memory, ticks: session.controller.stats.ticks - ticks });
await session.end('the soak is over');
process.disconnect();
