// The block-push world: two square blocks, two target squares, a round pusher, all in the plane of a table. After the
// multimodal block pushing of BeT and BESO (two blocks to two targets in either order, tolerance 5 cm); own MJCF,
// planar joints, metres and kilograms.

export const BLOCK_HALF = 0.03;
export const PUSHER_RADIUS = 0.015;
export const REACH = 0.32;
/** Published tolerance: the block's centre within 5 cm of its target's. */
export const TOLERANCE = 0.05;

const block = (name: string, rgba: string): string => `
    <body name="${name}" pos="0 0 ${BLOCK_HALF}">
      <joint name="${name}_x" type="slide" axis="1 0 0" damping="0.6" frictionloss="0.25"/>
      <joint name="${name}_y" type="slide" axis="0 1 0" damping="0.6" frictionloss="0.25"/>
      <joint name="${name}_yaw" type="hinge" axis="0 0 1" damping="0.002" frictionloss="0.003"/>
      <geom name="${name}" type="box" size="${BLOCK_HALF} ${BLOCK_HALF} ${BLOCK_HALF}" mass="0.12" rgba="${rgba}" contype="1" conaffinity="3"/>
    </body>`;

export const BLOCK_PUSH_MJCF = `
<mujoco model="tendon_block_push">
  <compiler angle="radian"/>
  <option timestep="0.005" integrator="implicitfast" gravity="0 0 0"/>
  <size memory="200K"/>
  <default><geom condim="3" friction="0.3 0.005 0.001" solref="0.01 1"/></default>
  <worldbody>
    <geom name="table" type="box" size="0.42 0.42 0.02" pos="0 0 -0.02" contype="0" conaffinity="0"/>
    <body name="pusher" pos="0 0 0.04">
      <joint name="pusher_x" type="slide" axis="1 0 0"/>
      <joint name="pusher_y" type="slide" axis="0 1 0"/>
      <geom name="pusher" type="cylinder" size="${PUSHER_RADIUS} 0.04" mass="0.5" contype="2" conaffinity="1"/>
    </body>${block('red', '0.86 0.30 0.27 1')}${block('blue', '0.23 0.52 0.86 1')}
  </worldbody>
  <actuator>
    <position name="pusher_x" joint="pusher_x" kp="120" kv="16"/>
    <position name="pusher_y" joint="pusher_y" kp="120" kv="16"/>
  </actuator>
</mujoco>`;
