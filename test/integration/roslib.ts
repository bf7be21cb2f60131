// roslib with types: its own declarations import without extensions, which NodeNext does not resolve.

import * as roslib from 'roslib';

interface RosConnection {
  on(event: string, listener: (value: unknown) => void): void;
  callOnConnection(op: object): void;
  close(): void;
}
interface RosAction {
  sendGoal(
    goal: object,
    done: (result: unknown) => void,
    feedback: (values: unknown) => void,
    failed: (why: string) => void,
  ): string | undefined;
  cancelGoal(id: string): void;
  advertise(start: (goal: unknown, id: string) => void, cancel: (id: string) => void): void;
  sendFeedback(id: string, values: object): void;
  setSucceeded(id: string, result: object): void;
  setCanceled(id: string, result: object): void;
  setFailed(id: string): void;
}
interface RosTopic {
  subscribe(listener: (msg: Record<string, unknown>) => void): void;
  publish(msg: object): void;
}
interface RosService {
  callService(request: object, done: (values: unknown) => void, failed: (why: unknown) => void): void;
  advertise(handler: (request: Record<string, unknown>, response: Record<string, unknown>) => boolean): void;
}

export const { Ros, Topic, Service, Action } = roslib as unknown as {
  Ros: new (options: { url: string }) => RosConnection;
  Topic: new (options: {
    ros: RosConnection;
    name: string;
    messageType: string;
    compression?: string;
  }) => RosTopic;
  Action: new (options: { ros: RosConnection; name: string; actionType: string }) => RosAction;
  Service: new (options: { ros: RosConnection; name: string; serviceType: string }) => RosService;
};

/** Connects as roslib's users do. */
export async function connectRoslib(url: string): Promise<RosConnection> {
  const connection = new Ros({ url });
  await new Promise((resolve, reject) => {
    connection.on('connection', resolve);
    connection.on('error', reject);
  });
  return connection;
}
