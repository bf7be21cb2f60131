// The arm task's world: a 6-joint arm on a table, a block on its suction cup, a post in the way, a spot to place the
// block on. Own MJCF text; metres, radians, kilograms.

/** Link lengths: shoulder height, upper arm, forearm (to the wrist), wrist to the tip of the cup. */
export const SHOULDER_Z = 0.2;
export const UPPER_ARM = 0.36;
export const FOREARM = 0.34;
export const TOOL = 0.12;
export const BLOCK_HALF = 0.025;
export const POST_RADIUS = 0.035;
export const POST_HEIGHT = 0.25;

export const JOINTS = [
  'base_yaw',
  'shoulder_pitch',
  'elbow_pitch',
  'forearm_roll',
  'wrist_pitch',
  'wrist_roll',
] as const;

/** Joint limits (rad) and speeds (rad/s). */
export const LOWER = [-2.6, -1.4, 0.05, -2.6, -0.6, -3.0];
export const UPPER = [2.6, 1.7, 2.7, 2.6, 3.2, 3.0];
export const SPEED = [3.5, 3.5, 3.5, 4.5, 4.5, 5.0];

/** Servo stiffness and damping by joint, N·m/rad and N·m·s/rad. */
const KP = [260, 300, 220, 60, 60, 30];
const KV = [26, 30, 20, 5, 5, 2.5];

const joint = (i: number, axis: string): string =>
  `<joint name="${JOINTS[i]}" type="hinge" axis="${axis}" range="${LOWER[i]} ${UPPER[i]}" armature="0.05" damping="1"/>`;

const STEEL = '0.86 0.88 0.91 1';
const ACCENT = '0.93 0.49 0.19 1';
const DARK = '0.20 0.23 0.28 1';

/** Geoms that are drawn, in the order of the page's shapes: name, kind, size, colour. */
export const ARM_MJCF = `
<mujoco model="tendon_arm">
  <compiler angle="radian"/>
  <option timestep="0.004" integrator="implicitfast" cone="elliptic" impratio="5"/>
  <size memory="400K"/>
  <default>
    <geom friction="0.8 0.01 0.001" solref="0.02 1"/>
    <default class="link"><geom contype="1" conaffinity="2" mass="0.6"/></default>
  </default>
  <worldbody>
    <geom name="table" type="box" size="0.45 0.6 0.02" pos="0.35 0 -0.02" rgba="0.78 0.72 0.63 1" contype="2" conaffinity="4"/>
    <body name="base" pos="0 0 0">
      <geom name="pedestal" type="cylinder" size="0.075 0.05" pos="0 0 0.05" rgba="${DARK}" contype="0" conaffinity="0"/>
      <body name="turret" gravcomp="1">
        ${joint(0, '0 0 1')}
        <geom name="turret" type="cylinder" size="0.06 0.06" pos="0 0 0.15" rgba="${STEEL}" class="link"/>
        <body name="upper_arm" pos="0 0 ${SHOULDER_Z}" gravcomp="1">
          ${joint(1, '0 1 0')}
          <geom name="upper_arm" type="capsule" size="0.045" fromto="0 0 0 0 0 ${UPPER_ARM}" rgba="${ACCENT}" class="link"/>
          <body name="forearm" pos="0 0 ${UPPER_ARM}" gravcomp="1">
            ${joint(2, '0 1 0')}
            <geom name="elbow" type="sphere" size="0.052" rgba="${DARK}" class="link" mass="0.2"/>
            <body name="forearm_tube" gravcomp="1">
              ${joint(3, '0 0 1')}
              <geom name="forearm" type="capsule" size="0.035" fromto="0 0 0 0 0 ${FOREARM}" rgba="${STEEL}" class="link"/>
              <body name="wrist" pos="0 0 ${FOREARM}" gravcomp="1">
                ${joint(4, '0 1 0')}
                <geom name="wrist" type="sphere" size="0.04" rgba="${DARK}" class="link" mass="0.15"/>
                <body name="tool" gravcomp="1">
                  ${joint(5, '0 0 1')}
                  <geom name="tool" type="capsule" size="0.022" fromto="0 0 0 0 0 0.085" rgba="${ACCENT}" class="link" mass="0.15"/>
                  <geom name="cup" type="cylinder" size="0.018 0.015" pos="0 0 0.105" rgba="${DARK}" class="link" mass="0.05"/>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
    <body name="block" pos="0.4 0 0.3" gravcomp="0">
      <freejoint/>
      <geom name="block" type="box" size="${BLOCK_HALF} ${BLOCK_HALF} ${BLOCK_HALF}" mass="0.08" rgba="0.20 0.55 0.83 1" contype="4" conaffinity="2"/>
    </body>
    <body name="post" mocap="true" pos="0.42 0 ${POST_HEIGHT / 2}">
      <geom name="post" type="cylinder" size="${POST_RADIUS} ${POST_HEIGHT / 2}" rgba="0.45 0.48 0.55 1" contype="2" conaffinity="5"/>
    </body>
  </worldbody>
  <equality>
    <weld name="suction" body1="tool" body2="block" relpose="0 0 ${TOOL + BLOCK_HALF} 1 0 0 0" solref="0.004 1"/>
  </equality>
  <actuator>
    ${JOINTS.map((name, i) => `<position name="${name}" joint="${name}" kp="${KP[i]}" kv="${KV[i]}" ctrlrange="${LOWER[i]} ${UPPER[i]}"/>`).join('\n    ')}
  </actuator>
</mujoco>`;
