// Remote inference: the wire of openpi's policy servers and clients.

export { type LerobotServer, type LerobotServerOptions, serveLerobot } from './lerobot/server.js';
export { packNumpy, unpackNumpy, type Wire } from './msgpack-numpy.js';
export { Float, NdArray, NpScalar } from './ndarray.js';
export { type PolicyServer, type PolicyServerOptions, servePolicy } from './policy-server.js';
