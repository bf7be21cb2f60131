export { Disposer, type Undone } from './disposer.js';
export { Emitter, guarded, type Listener, type ListenerFault, onListenerFault } from './emitter.js';
