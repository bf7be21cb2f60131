// What a robot in a test has that is always there and never says no.

import type { Robot } from '../../src/types/index.js';

/** All of a Robot but what it sees and what it does with commands. */
export const connectedRobot = (joints: number): Omit<Robot, 'latest' | 'send'> => ({
  observation_dims: { joint_position: joints },
  action_dim: joints,
  connect: async () => undefined,
  close: async () => undefined,
  call: () => Promise.reject(new Error('none')),
  onStatus(listener) {
    listener({ connected: true, cause: 'connected' });
    return () => undefined;
  },
});
