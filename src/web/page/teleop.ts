// Driving by hand: one slider per joint, keys and a gamepad that move the hand, and a handle to drag it by (steer.ts,
// handle.ts, gestures.ts). Targets are repeated, so a page that freezes or loses its connection is heard to fall silent;
// the supervisor keeps its limits and may refuse.

import type { LiveScene, LiveStatus, OperatorIntent } from '../../types/live.js';
import { byId, figure, setText } from './dom.js';
import { type Direction, Steer } from './steer.js';

const REPEAT_MS = 50;
const N_NOTCHES = 400;
/** Speed of the hand at full stick, and how far ahead of it its target may run, of the scene's half extent. */
const SPEED = 0.45;
const LEASH = 0.2;

export type Point = readonly [number, number, number];

export interface TeleopHost {
  ask(intent: OperatorIntent): Promise<boolean>;
  /** Half extent of the scene, metres. */
  radius(): number;
  /** A direction in the view as one in the world: right and away lie in the plane of the table. */
  toWorld(direction: Direction): Point;
  /** Where the handle should be; undefined when nobody drives. */
  showHandle(point: readonly number[] | undefined): void;
}

export class Teleop {
  private engaged = false;
  private sliders: HTMLInputElement[] = [];
  /** What the hand is sent to; undefined while the sliders are what counts. */
  private point: Point | undefined;
  private hand: readonly number[] = [];
  private asking = false;
  private stepped_ms = 0;
  private readonly steer: Steer;

  constructor(private readonly host: TeleopHost) {
    byId('engage').addEventListener('click', () => void this.toggle());
    byId('teleop').addEventListener('toggle', () => {
      if (this.engaged && !byId<HTMLDetailsElement>('teleop').open) void this.toggle();
    });
    this.steer = new Steer({
      engaged: () => this.engaged,
      toggle: () => void this.toggle(),
      hold: () => void host.ask({ kind: 'hold' }),
    });
    // Always, since a gamepad's buttons have no events.
    setInterval(() => this.step(), REPEAT_MS);
  }

  load({ joint_names, limits }: LiveScene): void {
    this.release();
    this.sliders = joint_names.map((name, i) => {
      const slider = document.createElement('input');
      const [lower, upper] = [limits.lower[i] ?? -1, limits.upper[i] ?? 1];
      Object.assign(slider, {
        type: 'range',
        min: lower,
        max: upper,
        step: (upper - lower) / N_NOTCHES,
        disabled: true,
      });
      slider.setAttribute('aria-label', `${name} target`);
      slider.addEventListener('input', () => {
        this.point = undefined;
      });
      return slider;
    });
    byId('jog').replaceChildren(
      ...this.sliders.map((slider, i) => {
        const label = document.createElement('label');
        const [text, value] = [document.createElement('span'), document.createElement('output')];
        text.textContent = joint_names[i]!;
        label.append(text, slider, value);
        return label;
      }),
    );
  }

  /** Until the operator moves them, the sliders follow the robot. */
  show(status: LiveStatus): void {
    if (this.engaged && (status.state === 'STOPPED' || status.state === 'HOLD')) this.release();
    this.hand = status.hand;
    const follows = !this.engaged || this.point !== undefined;
    const shown = this.engaged ? status.command : status.position;
    for (const [i, slider] of this.sliders.entries()) {
      if (follows && shown[i] !== undefined) slider.value = String(shown[i]);
      setText(slider.nextElementSibling as HTMLElement, figure(slider.valueAsNumber));
    }
    this.host.showHandle(this.engaged ? (this.point ?? this.hand) : undefined);
  }

  /** Sends the hand to `point`, as far as it may run ahead. */
  aim(point: Point): void {
    if (this.engaged) this.point = this.leashed(point);
  }

  /** Lets go on this side only: the controller already knows, or cannot be told. */
  release(): void {
    this.engaged = false;
    this.point = undefined;
    this.steer.rest();
    this.host.showHandle(undefined);
    this.paint();
  }

  private async toggle(): Promise<void> {
    if (this.engaged) {
      this.release();
      await this.host.ask({ kind: 'teleop', engaged: false });
      return;
    }
    if (!(await this.host.ask({ kind: 'teleop', engaged: true, values: this.values() }))) return;
    byId<HTMLDetailsElement>('teleop').open = true;
    this.engaged = true;
    this.paint();
  }

  /** One period of driving: moves the target as keys and sticks say, and repeats it. */
  private step(): void {
    const now_ms = performance.now();
    // A page that was held up must not make up for it in one leap.
    const seconds = Math.min(now_ms - this.stepped_ms, 2 * REPEAT_MS) / 1000;
    this.stepped_ms = now_ms;
    const direction = this.steer.read();
    if (!this.engaged) return;
    if (direction.some((part) => part !== 0)) this.move(direction, seconds);
    if (!this.asking) void this.repeat();
  }

  private move(direction: Direction, seconds: number): void {
    if (this.hand.length !== 3) return;
    const from = this.point ?? this.hand;
    const by = this.host.toWorld(direction);
    const metres = SPEED * this.host.radius() * seconds;
    this.point = this.leashed([
      from[0]! + by[0] * metres,
      from[1]! + by[1] * metres,
      from[2]! + by[2] * metres,
    ]);
    this.host.showHandle(this.point);
  }

  /** No further ahead of the hand than a leash: a robot that is blocked must not be pulled at from afar. */
  private leashed(point: Point): Point {
    const [x = point[0], y = point[1], z = point[2]] = this.hand;
    const [dx, dy, dz] = [point[0] - x, point[1] - y, point[2] - z];
    const shorter = Math.min(1, (LEASH * this.host.radius()) / Math.max(1e-9, Math.hypot(dx, dy, dz)));
    return [x + dx * shorter, y + dy * shorter, z + dz * shorter];
  }

  private async repeat(): Promise<void> {
    const { point } = this;
    this.asking = true;
    const target = point === undefined ? { values: this.values() } : { point };
    const accepted = await this.host.ask({ kind: 'teleop', engaged: true, repeat: true, ...target });
    this.asking = false;
    if (this.engaged && !accepted) this.release();
  }

  private values(): number[] {
    return this.sliders.map((slider) => slider.valueAsNumber);
  }

  private paint(): void {
    for (const slider of this.sliders) slider.disabled = !this.engaged;
    byId('engage').setAttribute('aria-pressed', String(this.engaged));
    setText(byId('engage'), this.engaged ? 'Let go' : 'Engage');
    setText(byId('teleop-note'), this.engaged ? 'engaged' : 'released');
  }
}
