// The states of control and every way from one to another, in one place. docs/safety.md prints this table and a test
// compares them.

import type { ControlState } from '../types/index.js';

/** Everything that may change the control state, and what each means. */
export const CONTROL_EVENTS = {
  observed: 'a fresh observation arrived from a connected robot',
  start: 'the operator or program asked to run',
  trouble: 'the supervisor found a fault that may pass',
  recovered: 'the fault has passed and a new chunk is at hand',
  hold: 'the operator asked to hold',
  resume: 'the operator asked to go on',
  engage: 'the operator took over',
  release: 'the operator gave back',
  stop: 'emergency stop',
  reset: 'the operator cleared the stop',
} as const;
export type ControlEvent = keyof typeof CONTROL_EVENTS;

/** From each state, where each event leads; an event without an entry changes nothing. */
export const TRANSITIONS: Readonly<
  Record<ControlState, Partial<Readonly<Record<ControlEvent, ControlState>>>>
> = {
  INIT: { observed: 'READY', stop: 'STOPPED' },
  READY: { start: 'RUNNING', trouble: 'INIT', engage: 'TELEOP', stop: 'STOPPED' },
  RUNNING: { trouble: 'HOLD', hold: 'HOLD', engage: 'TELEOP', stop: 'STOPPED' },
  TELEOP: { trouble: 'HOLD', hold: 'HOLD', release: 'HOLD', stop: 'STOPPED' },
  HOLD: { recovered: 'RUNNING', resume: 'RUNNING', engage: 'TELEOP', stop: 'STOPPED' },
  STOPPED: { reset: 'INIT' },
};
