// The fields of the message types that Tendon can serialise itself, in wire order: what cbor-raw needs. Canonical
// type → field → type; `[]` is a sequence, `time` and `duration` are two 32-bit numbers.

export type Fields = Readonly<Record<string, string>>;

const XYZ: Fields = { x: 'float64', y: 'float64', z: 'float64' };

export const SCHEMAS: Readonly<Record<string, Fields>> = {
  'std_msgs/Header': { stamp: 'time', frame_id: 'string' },
  'std_msgs/MultiArrayDimension': { label: 'string', size: 'uint32', stride: 'uint32' },
  'std_msgs/MultiArrayLayout': { dim: 'std_msgs/MultiArrayDimension[]', data_offset: 'uint32' },
  'std_msgs/Float32MultiArray': { layout: 'std_msgs/MultiArrayLayout', data: 'float32[]' },
  'std_msgs/Float64MultiArray': { layout: 'std_msgs/MultiArrayLayout', data: 'float64[]' },
  'geometry_msgs/Point': XYZ,
  'geometry_msgs/Vector3': XYZ,
  'geometry_msgs/Quaternion': { ...XYZ, w: 'float64' },
  'geometry_msgs/Pose': { position: 'geometry_msgs/Point', orientation: 'geometry_msgs/Quaternion' },
  'geometry_msgs/PoseStamped': { header: 'std_msgs/Header', pose: 'geometry_msgs/Pose' },
  'geometry_msgs/Twist': { linear: 'geometry_msgs/Vector3', angular: 'geometry_msgs/Vector3' },
  'geometry_msgs/TwistStamped': { header: 'std_msgs/Header', twist: 'geometry_msgs/Twist' },
  'geometry_msgs/Wrench': { force: 'geometry_msgs/Vector3', torque: 'geometry_msgs/Vector3' },
  'geometry_msgs/WrenchStamped': { header: 'std_msgs/Header', wrench: 'geometry_msgs/Wrench' },
  'sensor_msgs/JointState': {
    header: 'std_msgs/Header',
    name: 'string[]',
    position: 'float64[]',
    velocity: 'float64[]',
    effort: 'float64[]',
  },
  'sensor_msgs/Image': {
    header: 'std_msgs/Header',
    height: 'uint32',
    width: 'uint32',
    encoding: 'string',
    is_bigendian: 'uint8',
    step: 'uint32',
    data: 'uint8[]',
  },
  'sensor_msgs/CompressedImage': { header: 'std_msgs/Header', format: 'string', data: 'uint8[]' },
  'trajectory_msgs/JointTrajectoryPoint': {
    positions: 'float64[]',
    velocities: 'float64[]',
    accelerations: 'float64[]',
    effort: 'float64[]',
    time_from_start: 'duration',
  },
  'trajectory_msgs/JointTrajectory': {
    header: 'std_msgs/Header',
    joint_names: 'string[]',
    points: 'trajectory_msgs/JointTrajectoryPoint[]',
  },
  'control_msgs/JointJog': {
    header: 'std_msgs/Header',
    joint_names: 'string[]',
    displacements: 'float64[]',
    velocities: 'float64[]',
    duration: 'float64',
  },
  'tendon_msgs/Observation': {
    header: 'std_msgs/Header',
    name: 'string[]',
    length: 'uint32[]',
    data: 'float64[]',
  },
  'tendon_msgs/Poses': { header: 'std_msgs/Header', data: 'float32[]' },
};
