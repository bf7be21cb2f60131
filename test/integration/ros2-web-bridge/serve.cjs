// node serve.cjs PORT: the server of the npm package ros2-web-bridge, its own code, over the stand-in for rclnodejs;
// and on the same graph a robot of two joints that goes where /command says and can be reset.
'use strict';

const Module = require('node:module');
const { join } = require('node:path');

const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  return request === 'rclnodejs' ? join(__dirname, 'rclnodejs.cjs') : resolve.call(this, request, ...rest);
};

const rclnodejs = require('rclnodejs');
const node = rclnodejs.createNode('robot');
let position = [2, 1];
const states = node.createPublisher('sensor_msgs/msg/JointState', '/joint_states');
node.createSubscription('std_msgs/msg/Float64MultiArray', '/command', {}, ({ data }) => {
  position = [data[1], data[0]];
});
node.createService('std_srvs/srv/Trigger', '/reset', {}, (_request, response) => {
  position = [2, 1];
  response.send({ success: true, message: 'reset' });
});
setInterval(() => {
  const ms = Date.now();
  const stamp = { sec: Math.floor(ms / 1000), nanosec: (ms % 1000) * 1e6 };
  const header = { stamp, frame_id: '' };
  states.publish({ header, name: ['b', 'a'], position, velocity: [], effort: [] });
}, 10);

require('ros2-web-bridge').createServer({ port: Number(process.argv[2]), status_level: 'error' });
