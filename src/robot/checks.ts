// What one field of a robot file asks of another. Every fault is told at once, each under the field that has it.

import { featureLengths } from '../types/index.js';
import { checkCommand, quantityOfCommand, sendsGoals } from './command.js';
import { faultOfFrames } from './frames.js';
import { DYNAMICS, Joints, RANGE } from './joints.js';
import type { GivenRobot } from './schema.js';

/** Told with where the fault is and what was expected. */
export type Refuse = (path: (string | number)[], message: string) => void;

/** Refuses what does not fit together. */
export function checkRobot(file: GivenRobot, refuse: Refuse): void {
  if (!checkForm(file, refuse)) return;
  const joints = Joints.of(file);
  checkJoints(file, joints, refuse);
  checkObservation(file, joints, refuse);
  checkCommand(file.command, joints, refuse);
  checkUnits(file, joints, refuse);
  checkWays(file, joints, refuse);
  if (quantityOfCommand(file.command, joints) === 'velocity') checkVelocities(file, joints, refuse);
}

/** Whether joints are given in one of the two forms, whole enough to be looked at. */
function checkForm(file: GivenRobot, refuse: Refuse): boolean {
  const { joints, limits, joint_names } = file;
  if (joints === undefined && joint_names === undefined) {
    refuse(['joints'], 'the joints that are commanded, each with its limits');
    return false;
  }
  if (joints !== undefined) {
    if (limits !== undefined)
      refuse(['limits'], 'none beside joints: each joint has its own, and urdf is a field of the file');
    for (const key of ['scale', 'offset'] as const)
      if (file.units?.[key] !== undefined)
        refuse(['units', key], `none beside joints: ${key} is a field of each`);
    return limits === undefined;
  }
  const count = joint_names!.length;
  if (new Set(joint_names).size !== count) refuse(['joint_names'], 'every joint once, got a name twice');
  let whole = true;
  const wrong = (path: string[], got: number): void => {
    refuse(path, `one value per joint in joint_names (${count}), got ${got}`);
    whole = false;
  };
  for (const [key, values] of Object.entries(limits ?? {}))
    if (Array.isArray(values) && values.length !== count) wrong(['limits', key], values.length);
  for (const key of ['scale', 'offset'] as const) {
    const got = file.units?.[key]?.length ?? count;
    if (got !== count) wrong(['units', key], got);
  }
  return whole;
}

function checkJoints(file: GivenRobot, joints: Joints, refuse: Refuse): void {
  const urdf = file.urdf ?? file.limits?.urdf;
  for (const key of RANGE) {
    const missing = joints.all(key).indexOf(undefined);
    if (missing >= 0 && urdf === undefined) {
      const array = file.joints === undefined;
      refuse(
        array ? ['limits', key] : joints.path(key, missing),
        `${array ? 'one value per joint' : 'a number'}, or ${array ? 'limits.urdf' : 'urdf'} to take it from`,
      );
    }
  }
  for (const key of DYNAMICS) {
    const missing = joints.all(key).indexOf(undefined);
    if (joints.say(key) && missing >= 0)
      refuse(joints.path(key, missing), 'one here too, since other joints have it');
  }
  if (joints.say('jerk') && !joints.say('acceleration'))
    refuse(
      file.joints === undefined ? ['limits', 'jerk'] : joints.path('jerk', 0),
      'an acceleration beside it',
    );
  joints.names.forEach((who, i) => {
    const { lower, upper } = joints.at(i);
    if (lower !== undefined && upper !== undefined && !(lower < upper))
      refuse(joints.path('lower', i), `less than the upper limit of ${who}, got ${lower} and ${upper}`);
  });
  for (const key of ['scale', 'axes'] as const) {
    const values = file.teleop?.[key];
    if (Array.isArray(values) && values.length !== joints.count)
      refuse(['teleop', key], `one for each of the ${joints.count} joints, got ${values.length}`);
    else if (typeof values === 'object' && !Array.isArray(values))
      for (const one of Object.keys(values))
        if (!joints.names.includes(one)) refuse(['teleop', key, one], `a joint of the robot, got ${one}`);
  }
}

function checkObservation(file: GivenRobot, joints: Joints, refuse: Refuse): void {
  const seen = new Set<string>();
  file.observation.forEach((entry, index) => {
    const keys = [...Object.keys(entry.features), ...Object.keys(entry.images)];
    if (keys.length === 0) refuse(['observation', index], 'at least one entry in features or images');
    for (const key of keys) {
      if (seen.has(key)) refuse(['observation', index], `every feature from one topic, got ${key} twice`);
      seen.add(key);
    }
    const wrong = faultOfFrames(entry);
    if (wrong !== undefined) refuse(['observation', index, wrong[0]], wrong[1]);
    if (!/JointState$/.test(entry.type)) return;
    const own = entry.joints ?? joints.names;
    for (const [key, { length, field }] of Object.entries(entry.features)) {
      const path = ['observation', index, 'features', key];
      if (length !== own.length)
        refuse(
          [...path, 'length'],
          `the number of ${entry.joints === undefined ? 'joints' : 'this topic’s joints'} (${own.length}), got ${length}`,
        );
      for (const one of own) {
        const state = joints.at(joints.names.indexOf(one)).state;
        if (state !== undefined && !state.includes(field))
          refuse([...path, 'field'], `a state interface of ${one} (${state.join(', ')}), got ${field}`);
      }
    }
  });
  for (const [key, parts] of Object.entries(file.join)) {
    if (seen.has(key)) refuse(['join', key], 'a new feature, got one that a topic already carries');
    for (const one of parts)
      if (!seen.has(one)) refuse(['join', key], `features of the topics above, got ${one}`);
  }
}

function checkUnits(file: GivenRobot, joints: Joints, refuse: Refuse): void {
  if (file.units === undefined) {
    for (const key of ['scale', 'offset'] as const) {
      const first = joints.all(key).findIndex((value) => value !== undefined);
      if (first >= 0) refuse(joints.path(key, first), 'units.features beside it: which features count so');
    }
    return;
  }
  if (!joints.say('scale') && !joints.say('offset')) refuse(['units'], 'a scale or an offset of some joint');
  const lengths = featureLengths(file);
  for (const key of file.units.features)
    if (lengths[key] !== joints.count)
      refuse(
        ['units', 'features'],
        `features of ${joints.count} values, got ${key} of ${lengths[key] ?? 'none'}`,
      );
  if (file.executor?.udp !== undefined)
    refuse(['executor', 'udp'], 'no units: datagrams carry the policy’s numbers as they are');
}

/** What the ways out of a command cannot do. */
function checkWays(file: GivenRobot, joints: Joints, refuse: Refuse): void {
  file.rotations.forEach(({ at, as }, index) => {
    if (at + (as === 'quaternion' ? 4 : 3) > joints.count)
      refuse(
        ['rotations', index, 'at'],
        `an orientation within the ${joints.count} commanded values, got ${at}`,
      );
  });
  if (file.workspace !== undefined && (file.workspace.urdf ?? file.urdf ?? file.limits?.urdf) === undefined)
    refuse(['workspace', 'urdf'], 'a URDF beside the robot file, here or as urdf of the file');
  if (file.executor === undefined) return;
  if (joints.say('step_from_measured'))
    refuse(
      joints.path('step_from_measured', 0),
      'none with an executor, which does not see what is measured',
    );
  if (sendsGoals(file.command))
    refuse(['executor'], 'none where trajectories are sent as goals: both would drive the robot');
  if (file.workspace !== undefined) refuse(['workspace'], 'none with an executor, which knows joints only');
  if (file.rotations.length > 0) refuse(['rotations'], 'none with an executor, which interpolates joints');
}

/** Numbers that are velocities go on moving the robot when nobody speaks. */
function checkVelocities(file: GivenRobot, joints: Joints, refuse: Refuse): void {
  const shifted = joints.all('offset').findIndex((offset) => (offset ?? 0) !== 0);
  if (shifted >= 0)
    refuse(
      file.joints === undefined ? ['units', 'offset'] : joints.path('offset', shifted),
      'none with commands that are velocities: a commanded zero would be a speed',
    );
  if (file.executor !== undefined)
    refuse(['executor'], 'commands that are positions: holding a velocity would go on moving');
  if (file.workspace !== undefined)
    refuse(['workspace'], 'commands that are positions: where the tip is cannot be told from velocities');
  const blind_s = (file.deadlines.no_data_ms - file.deadlines.freshness_ms) / 1000;
  joints.names.forEach((who, i) => {
    const { lower = 0, upper = 0, velocity } = joints.at(i);
    const top = Math.max(-lower, upper);
    if (velocity !== undefined && velocity * blind_s < top)
      refuse(
        ['deadlines', 'no_data_ms'],
        `${who} to come to rest (${(top / velocity).toFixed(2)} s at its velocity limit) between freshness_ms and no_data_ms, got ${blind_s} s`,
      );
  });
}
