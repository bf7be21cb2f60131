// The Hugging Face Hub: names, the cache that is shared with Python, and downloads.

export { cachedSnapshot, repositoryFolder } from './cache.js';
export { type HubName, isHubName, isRepository, parseHubName } from './name.js';
export { type HubPolicy, hubPolicy, policyFolder } from './policy.js';
export { type Snapshot, type SnapshotOptions, snapshot } from './snapshot.js';
