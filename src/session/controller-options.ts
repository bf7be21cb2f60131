// What a robot file says of a controller: one reading of it, for robots and simulations alike.

import type { ControllerOptions } from '../control/index.js';
import type { RobotFile } from '../types/index.js';

/** Everything but what the file does not know. `measured` is the observation with the measured values. */
export function controllerOptions(
  file: RobotFile,
  ports: Pick<ControllerOptions, 'robot' | 'policy' | 'clock'>,
  measured: string = file.measured,
): ControllerOptions {
  return {
    ...ports,
    limits: file.limits,
    rate_hz: file.rate_hz,
    position_key: measured,
    freshness_ms: file.deadlines.freshness_ms,
    inference_ms: file.deadlines.inference_ms,
    lifetime_ms: file.command.lifetime_ms,
    quantity: file.command.quantity,
    chunks: file.chunks,
    interpolation: file.interpolation,
    rotations: file.rotations,
    workspace: file.workspace,
    teleop: file.teleop?.share,
    operator_timeout_ms: file.operator_heartbeat?.timeout_ms,
    resume_within_ms: file.deadlines.resume_within_ms,
    stop_topic: file.stop?.topic !== undefined,
  };
}
