// A look at a rosbridge server from outside: does it answer, how soon, and does its clock agree with this machine's.

import { type Finding, TendonError } from '../types/index.js';
import { BridgeClient } from './client/client.js';
import { readTime } from './codec/time.js';

/** Questions for the server's time. */
const QUESTIONS = 20;
/** An answer that takes as long as this makes observations look old, ms. */
const SLOW_MS = 20;
/** Clocks that differ by more confuse whoever compares stamps of both machines, ms. */
const APART_MS = 50;

/** Findings about the server at `url`. Never throws for what a server does. */
export async function examineBridge(url: string, now_ns = monotonic): Promise<Finding[]> {
  const client = new BridgeClient({ url, now_ns });
  try {
    await client.connect();
    return [dialectOf(client), ...(await askTime(client))];
  } catch (error) {
    if (!(error instanceof TendonError)) throw error;
    return [
      {
        what: 'bridge',
        state: 'wrong',
        found: error.message,
        mend: 'on the robot: ros2 launch rosbridge_server rosbridge_websocket_launch.xml; then its firewall, and the address',
      },
    ];
  } finally {
    await client.close();
  }
}

function dialectOf(client: BridgeClient): Finding {
  const { dialect, dialect_sure } = client;
  return {
    what: 'bridge',
    state: 'good',
    found: `${dialect?.name ?? 'a server of unknown kind'}${dialect_sure ? '' : ', as far as can be told without rosapi'}`,
  };
}

async function askTime(client: BridgeClient): Promise<Finding[]> {
  const round_ms: number[] = [];
  // The server's clock minus ours, in the middle of the question and its answer.
  const apart_ms: number[] = [];
  try {
    for (let i = 0; i < QUESTIONS; i++) {
      const asked = performance.timeOrigin + performance.now();
      const { time } = await client.call('/rosapi/get_time', 'rosapi/GetTime', {}, 2000);
      const answered = performance.timeOrigin + performance.now();
      round_ms.push(answered - asked);
      const stamp = readTime(time);
      if (stamp !== undefined) apart_ms.push(stamp.sec * 1e3 + stamp.nanosec / 1e6 - (asked + answered) / 2);
    }
  } catch (error) {
    if (!(error instanceof TendonError)) throw error;
    return [
      {
        what: 'rosapi',
        state: 'could be better',
        found: `the server’s time cannot be asked for (${error.message}), so stamps are believed by when they arrive`,
        mend: 'start rosapi beside rosbridge; its launch file does',
      },
    ];
  }
  return [rounds(round_ms), ...clock(apart_ms)];
}

function rounds(all: number[]): Finding {
  const sorted = [...all].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!;
  const found = `${median.toFixed(1)} ms to ask and be answered (median of ${sorted.length}; slowest ${sorted.at(-1)!.toFixed(1)} ms)`;
  return median > SLOW_MS
    ? {
        what: 'round trip',
        state: 'could be better',
        found,
        mend: 'a cable instead of Wi-Fi, or run Tendon on the robot',
      }
    : { what: 'round trip', state: 'good', found };
}

function clock(all: number[]): Finding[] {
  if (all.length === 0) return [];
  const apart = [...all].sort((a, b) => a - b)[all.length >> 1]!;
  const found = `the robot’s is ${Math.abs(apart).toFixed(0)} ms ${apart < 0 ? 'behind' : 'ahead of'} this machine’s`;
  return [
    Math.abs(apart) > APART_MS
      ? {
          what: 'clocks',
          state: 'could be better',
          found: `${found}; Tendon measures and allows for that, recordings of both machines do not agree`,
          mend: 'chrony on both machines, the robot as the server (docs/deploy.md)',
        }
      : { what: 'clocks', state: 'good', found },
  ];
}

const monotonic = (): number => Math.round(performance.now() * 1e6);
