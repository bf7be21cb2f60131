export { bridgeAddress } from './address.js';
export { chunkMode, rotation, teleopShare, workspace } from './parts.js';
export { loadRobotFile, parseRobotFile } from './robot-file.js';
