// One MuJoCo model and its state behind a small door: loads the WASM once per thread, caches the typed-array views
// that the heap's growth would detach, and saves and restores the complete state bit-exactly.

import type { MainModule, MjData, MjModel } from '@mujoco/mujoco';
import { TendonError } from '../types/index.js';

let loading: Promise<MainModule> | undefined;

/** The WASM module, instantiated once per thread. */
export function loadMujoco(): Promise<MainModule> {
  loading ??= import('@mujoco/mujoco').then(({ default: load }) => load());
  return loading;
}

/** mjSTATE_INTEGRATION: the only subset that restores bit-exactly. */
const INTEGRATION = 16383;
/** mjSTATE_EQ_ACTIVE; the typed getter of eq_active does not work in 3.14. */
const EQ_ACTIVE = 512;

type Views = {
  readonly qpos: Float64Array;
  readonly qvel: Float64Array;
  readonly ctrl: Float64Array;
  readonly xpos: Float64Array;
  readonly xquat: Float64Array;
  readonly xfrc: Float64Array;
  readonly geomPos: Float64Array;
  readonly geomMat: Float64Array;
  readonly mocap: Float64Array;
};

export class Physics {
  readonly model: MjModel;
  readonly data: MjData;
  private cached: Views | undefined;
  private readonly stateSize: number;
  private readonly nominalGain: Float64Array;
  private readonly nominalBias: Float64Array;
  /** What `scaleGain` was last told, by servo. */
  private readonly gains: Float64Array;

  private constructor(
    private readonly mj: MainModule,
    mjcf: string,
  ) {
    try {
      this.model = mj.MjModel.from_xml_string(mjcf);
    } catch (cause) {
      throw new TendonError('internal', `the task's MJCF does not compile: ${String(cause)}`, {}, { cause });
    }
    this.data = new mj.MjData(this.model);
    this.stateSize = mj.mj_stateSize(this.model, INTEGRATION);
    this.nominalGain = Float64Array.from(this.model.actuator_gainprm as Float64Array);
    this.nominalBias = Float64Array.from(this.model.actuator_biasprm as Float64Array);
    this.gains = new Float64Array(this.model.nu).fill(1);
  }

  static async create(mjcf: string): Promise<Physics> {
    return new Physics(await loadMujoco(), mjcf);
  }

  /** Live views on the state; valid until the next call of `views`. */
  views(): Views {
    // A view has length 0 once the heap has grown beneath it.
    if (this.cached === undefined || this.cached.qpos.length === 0) {
      const d = this.data;
      this.cached = {
        qpos: d.qpos as Float64Array,
        qvel: d.qvel as Float64Array,
        ctrl: d.ctrl as Float64Array,
        xpos: d.xpos as Float64Array,
        xquat: d.xquat as Float64Array,
        xfrc: d.xfrc_applied as Float64Array,
        geomPos: d.geom_xpos as Float64Array,
        geomMat: d.geom_xmat as Float64Array,
        mocap: d.mocap_pos as Float64Array,
      };
    }
    return this.cached;
  }

  resetData(): void {
    this.mj.mj_resetData(this.model, this.data);
  }

  /** Derived quantities (poses, contacts) for the state as it is. */
  forward(): void {
    this.mj.mj_forward(this.model, this.data);
  }

  step(): void {
    this.mj.mj_step(this.model, this.data);
  }

  bodyId(name: string): number {
    return this.idOf(1, name);
  }

  geomId(name: string): number {
    return this.idOf(5, name);
  }

  private idOf(type: number, name: string): number {
    const id = this.mj.mj_name2id(this.model, type, name);
    if (id < 0) throw new TendonError('internal', `the task's MJCF has nothing named ${name}`);
    return id;
  }

  /** Pairs of geom ids in contact right now, flattened. */
  contacts(): number[] {
    const pairs: number[] = [];
    const count = this.data.ncon;
    if (count === 0) return pairs;
    const list = this.data.contact;
    for (let i = 0; i < count; i++) {
      const contact = list.get(i);
      if (contact === undefined) continue;
      pairs.push(contact.geom1, contact.geom2);
      contact.delete();
    }
    list.delete();
    return pairs;
  }

  /** Sets the stiffness and damping of position servo `i` to `scale` times the MJCF's. */
  scaleGain(i: number, scale: number): void {
    const width = this.nominalGain.length / this.model.nu;
    const gain = this.model.actuator_gainprm as Float64Array;
    const bias = this.model.actuator_biasprm as Float64Array;
    gain[i * width] = this.nominalGain[i * width]! * scale;
    for (const j of [1, 2]) bias[i * width + j] = this.nominalBias[i * width + j]! * scale;
    this.gains[i] = scale;
  }

  /** Switches every equality constraint on or off. */
  setEqualities(active: boolean): void {
    const values = new Array<number>(this.model.neq).fill(active ? 1 : 0);
    this.mj.mj_setState(this.model, this.data, values, EQ_ACTIVE);
  }

  setMass(body: number, kilograms: number): void {
    (this.model.body_mass as Float64Array)[body] = kilograms;
  }

  /** Pose of a geom as x y z qw qx qy qz at out[at…]. */
  geomPose(geom: number, out: Float32Array, at: number): void {
    const v = this.views();
    for (let i = 0; i < 3; i++) out[at + i] = v.geomPos[3 * geom + i]!;
    quaternionOf(v.geomMat, 9 * geom, out, at + 3);
  }

  /** Everything the future depends on: MuJoCo's integration state, then the randomised gains and masses. */
  save(): Uint8Array {
    const masses = this.model.body_mass as Float64Array;
    const out = new Float64Array(this.stateSize + this.gains.length + masses.length);
    const buffer = new this.mj.DoubleBuffer(this.stateSize);
    try {
      this.mj.mj_getState(this.model, this.data, buffer, INTEGRATION);
      out.set(buffer.GetView() as Float64Array);
    } finally {
      buffer.delete();
    }
    out.set(this.gains, this.stateSize);
    out.set(this.model.body_mass as Float64Array, this.stateSize + this.gains.length);
    return new Uint8Array(out.buffer);
  }

  restore(saved: Uint8Array): void {
    const masses = this.model.body_mass as Float64Array;
    const bytes = 8 * (this.stateSize + this.gains.length + masses.length);
    if (saved.byteLength !== bytes)
      throw new TendonError(
        'input_invalid',
        `expected a saved state of ${bytes} bytes, got ${saved.byteLength}; it is of another task`,
      );
    const values = new Float64Array(saved.slice().buffer);
    const state = values.subarray(0, this.stateSize) as unknown as number[];
    values.subarray(this.stateSize, -masses.length).forEach((scale, i) => {
      this.scaleGain(i, scale);
    });
    masses.set(values.subarray(-masses.length));
    this.mj.mj_setState(this.model, this.data, state, INTEGRATION);
    this.forward();
    // Computing what the state implies warms the solver anew: the next step must find it as it was saved.
    this.mj.mj_setState(this.model, this.data, state, INTEGRATION);
  }

  dispose(): void {
    this.data.delete();
    this.model.delete();
  }
}

/** The unit quaternion (w x y z) of a row-major rotation matrix at m[from…], sound at half turns too: divides by the
 * largest of the four (Shepperd 1978). */
function quaternionOf(m: Float64Array, from: number, out: Float32Array, at: number): void {
  const e = (r: number, c: number): number => m[from + 3 * r + c]!;
  const trace = e(0, 0) + e(1, 1) + e(2, 2);
  const squares = [1 + trace, 1 - trace + 2 * e(0, 0), 1 - trace + 2 * e(1, 1), 1 - trace + 2 * e(2, 2)];
  const largest = squares.indexOf(Math.max(...squares));
  // Row k: 4 × the products of component k with w, x, y and z.
  const products = [
    [squares[0]!, e(2, 1) - e(1, 2), e(0, 2) - e(2, 0), e(1, 0) - e(0, 1)],
    [e(2, 1) - e(1, 2), squares[1]!, e(0, 1) + e(1, 0), e(0, 2) + e(2, 0)],
    [e(0, 2) - e(2, 0), e(0, 1) + e(1, 0), squares[2]!, e(1, 2) + e(2, 1)],
    [e(1, 0) - e(0, 1), e(0, 2) + e(2, 0), e(1, 2) + e(2, 1), squares[3]!],
  ][largest]!;
  const scale = 1 / (2 * Math.sqrt(squares[largest]!));
  for (let i = 0; i < 4; i++) out[at + i] = products[i]! * scale;
}
