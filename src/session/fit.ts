// Whether a policy and a robot file belong together, asked before anything is connected: in a running loop each of these
// would be a robot that holds and a sentence in the log.

import type { LoadOptions } from '../policies/index.js';
import {
  type ChunkMode,
  featureLengths,
  type PolicySpec,
  type RobotFile,
  type TeleopShare,
  TendonError,
} from '../types/index.js';

/** Throws `config_invalid` for the first thing that does not fit; `where` is the file's name, for the sentence. */
export function checkFit(spec: PolicySpec, file: RobotFile, where: string, position_key: string): void {
  const refuse = (why: string, fields: Record<string, unknown> = {}): never => {
    throw new TendonError('config_invalid', why, fields);
  };
  if (spec.rate_hz === undefined)
    refuse(
      `the checkpoint does not say at which rate it acts, and its rows would be played at the ${file.rate_hz} Hz of ${where}; give the rate of the data that it was trained on with policy_hz in ${where} (or --policy-hz)`,
    );
  const lengths = featureLengths(file);
  for (const [key, length] of Object.entries(spec.observation_dims))
    if (lengths[key] !== length)
      refuse(
        `the policy needs ${key} of length ${length}, ${where} gives ${lengths[key] ?? 'none'}; add the topic that carries it to "observation"`,
        { key },
      );
  const pictures = Object.assign(
    {},
    ...file.observation.map(({ images }) => images),
  ) as RobotFile['observation'][number]['images'];
  for (const [key, [channels, height, width]] of Object.entries(spec.image_shapes)) {
    const given = pictures[key];
    // A camera that the policy does without, and one whose pictures it sizes itself.
    if (given === undefined && spec.optional_images?.includes(key)) continue;
    if (given !== undefined && spec.any_image_size && given[2] === channels) continue;
    const larger = spec.any_size?.includes(key) === true;
    const fits = (has: number, wanted: number): boolean => (larger ? has >= wanted : has === wanted);
    if (!given || !fits(given[0], height) || !fits(given[1], width) || given[2] !== channels)
      refuse(
        `the policy needs the camera ${key} of ${height}×${width}×${channels}, ${where} gives ${given?.join('×') ?? 'none'}; add its topic to "observation" (images: { ${key}: [${height}, ${width}, ${channels}] }), and let the camera's driver scale`,
        { key },
      );
  }
  const cameras = Object.keys(spec.image_shapes);
  if (cameras.length > 0 && !cameras.some((key) => pictures[key] !== undefined))
    refuse(
      `the policy needs at least one of its cameras (${cameras.join(', ')}), ${where} gives none of them`,
    );
  const wants = spec.texts?.find((name) => name !== 'task');
  if (wants !== undefined)
    refuse(`the policy needs a text "${wants}", which no robot file gives`, { text: wants });
  if (spec.texts?.includes('task') && file.task === undefined)
    refuse(
      `the policy is told what to do in words, and ${where} says nothing; add task: { text: pick up the red block } to it, or a topic of std_msgs/String that says it (task: { topic: /task })`,
      { text: 'task' },
    );
  const joints = file.joint_names.length;
  if ((lengths[position_key] ?? 0) < joints)
    refuse(
      `${position_key} ("measured", or --position-key) is not an observation of at least ${joints} values in ${where}`,
    );
  if (spec.action_dim !== joints)
    refuse(`the policy commands ${spec.action_dim} joints, ${where} names ${joints}`);
}

/** What a policy must have ready for these ways to join chunks and to share, so that the first inference is not slow. */
export function needsOf(mode: ChunkMode, share?: TeleopShare): LoadOptions {
  const steers = share?.kind === 'steer';
  const derivative = (mode.mode === 'rtc' && mode.derivative && mode.trained !== true) || steers;
  const candidates = 'candidates' in mode ? mode.candidates : undefined;
  return {
    joins: {
      ...{ prefix: mode.mode === 'rtc' || steers, derivative, candidates: candidates !== undefined },
      trained: mode.mode === 'rtc' && mode.trained === true,
    },
    ...(candidates === undefined ? {} : { sampling: { candidates } }),
  };
}
