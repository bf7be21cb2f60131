// The public door of the rosbridge room.

export { BridgeClient, type ClientOptions, type GoalHandle } from './client.js';
export { COMPRESSIONS, type Compression, FrameDecoder } from './codec.js';
export { DIALECTS, type Dialect } from './dialects.js';
export type { ActionHandler, Message, ServiceHandler } from './hub.js';
export * from './messages.js';
export type { Publisher } from './offers.js';
export type { OperatorListener } from './operators.js';
export { canonicalType, checkOp, OPS, type Op, type OpName } from './protocol.js';
export { type CommandDrops, RosbridgeRobot } from './robot.js';
export { RosbridgeServer, type ServerOptions, type ServerStats } from './server.js';
export type { AllowList } from './session.js';
export { ClockOffset, epochStamp, type RosTime } from './time.js';
