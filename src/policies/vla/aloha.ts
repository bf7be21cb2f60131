// Between ALOHA's numbers (two arms of six joints and a gripper) and those that π0 and SmolVLA's base were trained with: four
// joints turn the other way, grippers are angles. LeRobot and openpi differ in the gripper's range (openpi aloha_policy.py;
// LeRobot modeling_{pi0,smolvla}.py, aloha_gripper_to_angular).

import { TendonError } from '../../types/index.js';

/** Numbers of a state or an action as the robot has them, and as the policy was trained. Both work in place. */
export interface BodyMap {
  /** Rows of states on their way in. */
  state(rows: Float32Array): void;
  /** Rows of actions on their way out, and back. */
  decode(rows: Float32Array): void;
  encode(rows: Float32Array): void;
}

const JOINTS = 14;
const TURNED = [1, 2, 8, 9];
const GRIPPERS = [6, 13];
/** Of the linear gripper, metres, closed and open. */
const LINEAR = [0.01844, 0.058] as const;
/** Of the leader's gripper, radians: what the robot's own actions are shares of. */
const JOINT = [-0.6213, 1.491] as const;
const ARM = 0.036;
const HORN = 0.022;

/** `low`, `high`: radians that a gripper's 0 and 1 stand for in the policy; `scaled`: in its actions too. */
const WAYS = {
  lerobot: { low: 0.4, high: 1.5, scaled: true },
  openpi: { low: 0.5476, high: 1.6296, scaled: false },
} as const;

/** Throws `config_invalid` unless there are 14 numbers. */
export function alohaMap(way: keyof typeof WAYS, state_dim: number, action_dim: number): BodyMap {
  if (state_dim !== JOINTS || action_dim !== JOINTS)
    throw new TendonError(
      'config_invalid',
      `adapt_to_pi: ALOHA has ${JOINTS} numbers in its state and its action, got ${state_dim} and ${action_dim}`,
    );
  const { low, high, scaled } = WAYS[way];
  const span = scaled ? high - low : 1;
  const turn = (rows: Float32Array, gripper: (x: number) => number): void => {
    for (let at = 0; at < rows.length; at += JOINTS) {
      for (const j of TURNED) rows[at + j] = -rows[at + j]!;
      for (const j of GRIPPERS) rows[at + j] = gripper(rows[at + j]!);
    }
  };
  return {
    state: (rows) =>
      turn(rows, (x) => {
        const y = x * (LINEAR[1] - LINEAR[0]) + LINEAR[0];
        const sine = (HORN ** 2 + y ** 2 - ARM ** 2) / (2 * HORN * y);
        return (Math.asin(Math.min(Math.max(sine, -1), 1)) - low) / (high - low);
      }),
    decode: (rows) => turn(rows, (a) => (a * span + low - JOINT[0]) / (JOINT[1] - JOINT[0])),
    encode: (rows) => turn(rows, (a) => (a * (JOINT[1] - JOINT[0]) + JOINT[0] - low) / span),
  };
}
