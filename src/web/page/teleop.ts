// Driving by hand: one slider per joint while engaged. Targets are repeated, so a page that freezes or loses its
// connection is heard to fall silent; the supervisor keeps its limits and may refuse.

import type { LiveScene, LiveStatus, OperatorIntent } from '../../types/live.js';
import { byId, figure, setText } from './dom.js';

const REPEAT_MS = 100;
const N_NOTCHES = 400;

export interface TeleopHost {
  ask(intent: OperatorIntent): Promise<boolean>;
}

export class Teleop {
  private sliders: HTMLInputElement[] = [];
  private engaged = false;
  private timer = 0;

  constructor(private readonly host: TeleopHost) {
    byId('engage').addEventListener('click', () => void this.toggle());
    byId('teleop').addEventListener('toggle', () => {
      if (this.engaged && !byId<HTMLDetailsElement>('teleop').open) void this.toggle();
    });
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

  /** Until the operator takes over, the sliders follow the robot. */
  show(status: LiveStatus): void {
    if (this.engaged && (status.state === 'STOPPED' || status.state === 'HOLD')) this.release();
    for (const [i, slider] of this.sliders.entries()) {
      if (!this.engaged && status.position[i] !== undefined) slider.value = String(status.position[i]);
      setText(slider.nextElementSibling as HTMLElement, figure(slider.valueAsNumber));
    }
  }

  /** Lets go on this side only: the controller already knows, or cannot be told. */
  release(): void {
    this.engaged = false;
    clearInterval(this.timer);
    this.paint();
  }

  private async toggle(): Promise<void> {
    if (this.engaged) {
      this.release();
      await this.host.ask({ kind: 'teleop', engaged: false });
      return;
    }
    if (!(await this.host.ask({ kind: 'teleop', engaged: true, values: this.values() }))) return;
    this.engaged = true;
    this.timer = setInterval(() => void this.repeat(), REPEAT_MS);
    this.paint();
  }

  private async repeat(): Promise<void> {
    if (this.engaged && !(await this.host.ask({ kind: 'teleop', engaged: true, values: this.values() })))
      this.release();
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
