export { controllerOptions } from './controller-options.js';
export { type EpisodesReport, runEpisodes } from './episodes.js';
export { checkFit, needsOf } from './fit.js';
export { type Operator, operatorOf } from './operator.js';
export { RobotSession, type RobotSessionOptions, type SessionEnd } from './robot-session.js';
export { type EpisodeResult, SimSession, type SimSessionOptions } from './sim-session.js';
