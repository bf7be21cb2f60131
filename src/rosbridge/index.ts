// The public door of the rosbridge room.

export { BridgeClient } from './client/client.js';
export { ClockOffset } from './client/clock-offset.js';
export { DIALECTS, type Dialect } from './client/dialects.js';
export type { Publisher } from './client/offers.js';
export type { ClientOptions, GoalHandle } from './client/options.js';
export { COMPRESSIONS, type Compression, FrameDecoder } from './codec/decoder.js';
export * from './codec/messages.js';
export {
  canonicalType,
  checkOp,
  type Message,
  OPS,
  type Op,
  type OpName,
  type ServiceHandler,
} from './codec/protocol.js';
export { epochStamp, type RosTime } from './codec/time.js';
export { examineBridge } from './examine.js';
export type { CommandDrops } from './robot/command-topics.js';
export type { OperatorListener } from './robot/operators.js';
export { RosbridgeRobot } from './robot/robot.js';
export type { ActionHandler } from './server/hub.js';
export { RosbridgeServer, type ServerOptions, type ServerStats } from './server/server.js';
export type { AllowList } from './server/session.js';
