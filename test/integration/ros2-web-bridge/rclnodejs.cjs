// Stands in for rclnodejs, which needs a sourced ROS 2: one graph of topics and services inside this process, with
// what ros2-web-bridge 0.3.0 asks of it. Like rclnodejs it refuses messages with a field missing and never answers a
// service that nobody offers.
'use strict';

const FIELDS = {
  'std_msgs/msg/Float64MultiArray': ['layout', 'data'],
  'std_msgs/msg/Bool': ['data'],
  'sensor_msgs/msg/JointState': ['header', 'name', 'position', 'velocity', 'effort'],
};

const subscriptions = new Map();
const services = new Map();
let running = false;

function check(type, message) {
  for (const field of FIELDS[type] ?? [])
    if (message?.[field] === undefined) throw new TypeError(`${type}: ${field} is missing`);
}

class Node {
  createPublisher(type, topic) {
    if (!/^\w+\/msg\/\w+$/.test(type)) throw new Error(`The message required does not exist: ${type}`);
    return {
      publish: (message) => {
        check(type, message);
        // Deliveries come in later turns, as from a middleware, and never to what has been destroyed.
        for (const each of subscriptions.get(topic) ?? [])
          setImmediate(() => {
            if (subscriptions.get(topic).has(each)) each.callback(structuredClone(message));
          });
      },
    };
  }
  createSubscription(_type, topic, _options, callback) {
    const subscription = { topic, callback };
    if (!subscriptions.has(topic)) subscriptions.set(topic, new Set());
    subscriptions.get(topic).add(subscription);
    return subscription;
  }
  createClient(type, name) {
    if (!/^\w+\/srv\/\w+$/.test(type)) throw new Error(`The service required does not exist: ${type}`);
    return {
      sendRequest: (request, callback) => {
        const service = services.get(name);
        if (service !== undefined)
          setImmediate(() => service(request, { send: (response) => callback(response) }));
      },
    };
  }
  createService(_type, name, _options, callback) {
    services.set(name, callback);
    return name;
  }
  destroyPublisher() {}
  destroyClient() {}
  destroyService(name) {
    services.delete(name);
  }
  destroySubscription(subscription) {
    subscriptions.get(subscription.topic)?.delete(subscription);
  }
}

const validName = (name) => {
  if (!/^\/?[A-Za-z_~][\w/~]*$/.test(name)) throw new Error(`${name} is not a name`);
};

module.exports = {
  init: async () => {
    running = true;
  },
  createNode: () => new Node(),
  spin: () => undefined,
  isShutdown: () => !running,
  shutdown: () => {
    running = false;
  },
  validator: { validateFullTopicName: validName, validateTopicName: validName },
};
