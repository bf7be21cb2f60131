// The PushT world, after gym-pusht (LeRobot; Diffusion Policy; Florence et al.): a T on a plane, pushed by a disc whose
// set point is the action; 1 pixel of the original is 1 mm here. The disc follows with kp 100, kd 20 for unit mass, as
// there. Differs: contact is frictionless and the table's drag is viscous, so the T stops when it is let go of.

/** Side of the workspace, m. */
export const SIDE = 0.512;
export const AGENT_RADIUS = 0.015;
/** Drag of the table: N·s/m along, and the radius at which turning feels the same drag, m. */
export const DRAG = 5;
export const DRAG_RADIUS = 0.045;

/** The T as two rectangles about its centre of mass: [x0, y0, x1, y1], bar and stem. */
export const T_RECTANGLES = [
  [-0.06, -0.0407, 0.06, -0.0107],
  [-0.015, -0.0107, 0.015, 0.0793],
] as const;

/** Where the T should end: x, y, yaw. */
export const GOAL = [0.256, 0.256, Math.PI / 4] as const;
/** Share of the goal's area that must be covered. */
export const COVERAGE = 0.95;

const rectangle = ([x0, y0, x1, y1]: readonly number[], i: number): string =>
  `<geom name="t${i}" type="box" size="${(x1! - x0!) / 2} ${(y1! - y0!) / 2} 0.015" pos="${(x0! + x1!) / 2} ${(y0! + y1!) / 2} 0" mass="${i === 0 ? 0.057 : 0.043}" contype="1" conaffinity="2"/>`;

export const PUSHT_MJCF = `
<mujoco model="tendon_pusht">
  <compiler angle="radian"/>
  <option timestep="0.005" integrator="implicitfast" gravity="0 0 0"/>
  <size memory="200K"/>
  <default><geom condim="1" solref="0.006 1"/></default>
  <worldbody>
    <geom name="table" type="box" size="0.256 0.256 0.01" pos="0.256 0.256 -0.026" contype="0" conaffinity="0"/>
    <body name="agent">
      <joint name="agent_x" type="slide" axis="1 0 0"/>
      <joint name="agent_y" type="slide" axis="0 1 0"/>
      <geom name="agent" type="cylinder" size="${AGENT_RADIUS} 0.02" mass="1" contype="2" conaffinity="1"/>
    </body>
    <body name="tee">
      <joint name="tee_x" type="slide" axis="1 0 0" damping="${DRAG}"/>
      <joint name="tee_y" type="slide" axis="0 1 0" damping="${DRAG}"/>
      <joint name="tee_yaw" type="hinge" axis="0 0 1" damping="${DRAG * DRAG_RADIUS ** 2}"/>
      ${T_RECTANGLES.map(rectangle).join('\n      ')}
    </body>
  </worldbody>
  <actuator>
    <position name="agent_x" joint="agent_x" kp="100" kv="20"/>
    <position name="agent_y" joint="agent_y" kp="100" kv="20"/>
  </actuator>
</mujoco>`;
