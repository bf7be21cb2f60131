// What the operator's hands say right now: held keys and the sticks of a gamepad, as one velocity of the robot's hand in
// the view (right, away, up), each from −1 to 1. It only reads; teleop.ts decides what to do with it.

/** Key codes, by where they are on the keyboard, so that every layout has the same square of keys. */
const KEYS: Readonly<Record<string, Direction>> = {
  KeyW: [0, 1, 0],
  ArrowUp: [0, 1, 0],
  KeyS: [0, -1, 0],
  ArrowDown: [0, -1, 0],
  KeyA: [-1, 0, 0],
  ArrowLeft: [-1, 0, 0],
  KeyD: [1, 0, 0],
  ArrowRight: [1, 0, 0],
  KeyE: [0, 0, 1],
  PageUp: [0, 0, 1],
  KeyQ: [0, 0, -1],
  PageDown: [0, 0, -1],
};
/** Right, away from the eye, up. */
export type Direction = readonly [number, number, number];

/** A stick at rest is not exactly at 0. */
const DEAD = 0.15;
/** Standard layout: A, B. */
const [ENGAGE, HOLD] = [0, 1];

export interface SteerHost {
  engaged(): boolean;
  toggle(): void;
  hold(): void;
}

export class Steer {
  private readonly held = new Set<string>();
  private pressed: readonly boolean[] = [];

  constructor(private readonly host: SteerHost) {
    addEventListener('keydown', (event) => this.down(event));
    addEventListener('keyup', (event) => this.held.delete(event.code));
    // Keys that are let go elsewhere are never heard of again.
    addEventListener('blur', () => this.held.clear());
    document.addEventListener('visibilitychange', () => this.held.clear());
  }

  /** Forgets what is held: a robot must not move on because a key stayed down through a fault. */
  rest(): void {
    this.held.clear();
  }

  /** The velocity asked for; looks at the gamepad's buttons on the way. */
  read(): Direction {
    const pad = navigator.getGamepads?.().find((one) => one?.connected) ?? undefined;
    if (pad !== undefined) this.buttons(pad);
    const stick = (axis: number) => {
      const value = pad?.axes[axis] ?? 0;
      return Math.abs(value) < DEAD ? 0 : (value - Math.sign(value) * DEAD) / (1 - DEAD);
    };
    let [right, away, up] = [stick(0), -stick(1), -stick(3)];
    for (const code of this.held) {
      const [x, y, z] = KEYS[code]!;
      right += x;
      away += y;
      up += z;
    }
    const most = Math.max(1, Math.hypot(right, away, up));
    return [right / most, away / most, up / most];
  }

  private down(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || typesInto(event.target)) return;
    if (event.code === 'KeyT' && !event.repeat) this.host.toggle();
    if (!this.host.engaged() || !Object.hasOwn(KEYS, event.code)) return;
    // Not to scroll the page as well.
    event.preventDefault();
    this.held.add(event.code);
  }

  /** A button acts when it goes down. */
  private buttons(pad: Gamepad): void {
    const now = pad.buttons.map(({ pressed }) => pressed);
    const went = (button: number) => now[button] === true && this.pressed[button] !== true;
    if (went(HOLD)) this.host.hold();
    else if (went(ENGAGE)) this.host.toggle();
    this.pressed = now;
  }
}

/** Whether keys mean something to what has the focus: text, a number, a menu, a slider. */
function typesInto(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('input, select, textarea') !== null;
}
