// The live page's door.

export { type Route, startWebServer, type WebServer, type WebServerOptions } from './server.js';
