// Hands on the scene. Dragging the handle leads the robot's hand while the operator drives. Dragging a ghost moves the goal (with shift: up and down), clicking the table brings the
// nearest ghost there, dragging an object pushes it with a force that grows with the drag. All else turns the view.

import * as THREE from 'three';
import type { OperatorIntent } from '../../types/live.js';
import { Arrow } from './arrow.js';
import { cssColor } from './dom.js';
import { goalSlot, moveGoal } from './goal.js';
import type { Handle } from './handle.js';
import type { SceneView } from './scene.js';
import type { DrawnShape } from './shapes.js';

/** Force of a drag as long as the scene's half extent, and the most a drag can ask for. */
const FULL_DRAG_N = 12;
const MAX_PUSH_N = 8;
/** Intents per second while dragging. */
const SEND_HZ = 15;
/** A press that moved less, and was shorter, is a click. */
const CLICK_PX = 5;
const CLICK_MS = 400;
/** After release the ghost stays where it was put until the robot's answer can have come back. */
const SETTLE_MS = 700;

export interface GestureHost {
  readonly view: SceneView;
  readonly handle: Handle;
  /** The goal in force, (goal_dim); empty when it cannot be set. */
  goal(): readonly number[];
  send(intent: OperatorIntent): void;
  /** Leads the robot's hand to a point. */
  aim(point: readonly [number, number, number]): void;
  /** A word at the pointer, or undefined to take it away. */
  tip(text: string | undefined, x: number, y: number): void;
}

interface Drag {
  readonly kind: 'goal' | 'push' | 'view' | 'hand';
  readonly shape: DrawnShape | undefined;
  readonly pointer: number;
  readonly grip: THREE.Vector3;
  readonly plane: THREE.Plane;
  /** Goal and ghost positions at the start, so that a drag is one displacement and not a sum of steps. */
  readonly goal: readonly number[];
  readonly homes: ReadonlyMap<DrawnShape, THREE.Vector3>;
  readonly x: number;
  readonly y: number;
  readonly began_ms: number;
}

export class Gestures {
  private drag: Drag | undefined;
  private sent_ms = 0;
  private settling_until_ms = 0;
  private settled: ReadonlySet<DrawnShape> = new Set();
  private readonly caster = new THREE.Raycaster();
  private readonly arrow = new Arrow();

  constructor(private readonly host: GestureHost) {
    const { canvas, world } = host.view;
    world.add(this.arrow.group);
    // Captured, so that a drag that is ours never reaches the orbit controls.
    canvas.addEventListener('pointerdown', (event) => this.press(event), { capture: true });
    canvas.addEventListener('pointermove', (event) => this.move(event), { capture: true });
    canvas.addEventListener('pointerup', (event) => this.release(event, true), { capture: true });
    canvas.addEventListener('pointercancel', (event) => this.release(event, false), { capture: true });
    canvas.addEventListener('pointerleave', () => this.hover(undefined, 0, 0));
  }

  /** True for ghosts that the operator moves right now: streamed poses must not tear them away. */
  holds(shape: DrawnShape): boolean {
    if (this.drag?.kind === 'goal' && this.drag.homes.has(shape)) return true;
    return performance.now() < this.settling_until_ms && this.settled.has(shape);
  }

  private press(event: PointerEvent): void {
    if (event.button !== 0 || this.drag !== undefined) return;
    const hand = this.handleAt(event);
    const hit = hand === undefined ? this.pick(event) : undefined;
    const goal = this.host.goal();
    const { shape, point } = hit ?? { shape: undefined, point: hand };
    const kind =
      hand !== undefined
        ? 'hand'
        : shape?.info.role === 'object'
          ? 'push'
          : shape?.info.role === 'goal' && goal.length > 1
            ? 'goal'
            : 'view';
    const grip = kind === 'view' || point === undefined ? new THREE.Vector3() : point;
    const plane = new THREE.Plane(new THREE.Vector3(0, 0, 1), -grip.z);
    if ((kind === 'goal' || kind === 'hand') && event.shiftKey) facing(plane, this.host.view.camera, grip);
    const homes = new Map(
      (kind === 'goal' ? this.siblings(shape!, goal) : []).map((ghost) => [
        ghost,
        ghost.mesh.position.clone(),
      ]),
    );
    this.drag = {
      kind,
      shape,
      pointer: event.pointerId,
      grip,
      plane,
      goal,
      homes,
      x: event.clientX,
      y: event.clientY,
      began_ms: event.timeStamp,
    };
    if (kind === 'view') return;
    event.stopImmediatePropagation();
    event.preventDefault();
    this.host.view.controls.enabled = false;
    this.host.view.canvas.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    const { drag } = this;
    if (drag === undefined) {
      if (this.handleAt(event) === undefined)
        this.hover(this.pick(event)?.shape, event.clientX, event.clientY);
      else {
        this.host.view.canvas.style.cursor = 'grab';
        this.host.tip('drag to lead the hand', event.clientX, event.clientY);
      }
      return;
    }
    if (drag.kind === 'view' || event.pointerId !== drag.pointer) return;
    const at = this.cast(event, drag.plane);
    if (at === undefined) return;
    if (drag.kind === 'hand') {
      this.host.aim([at.x, at.y, at.z]);
      return;
    }
    const delta = at.sub(drag.grip);
    if (drag.kind === 'goal') this.dragGoal(drag, delta, event.shiftKey, false);
    else this.dragPush(drag, delta, event);
    this.host.view.invalidate();
  }

  private release(event: PointerEvent, finished: boolean): void {
    const { drag } = this;
    if (drag === undefined || event.pointerId !== drag.pointer) return;
    this.drag = undefined;
    this.host.view.controls.enabled = true;
    this.host.tip(undefined, 0, 0);
    this.arrow.hide();
    this.host.view.invalidate();
    if (drag.kind === 'push') this.host.send({ kind: 'push', name: drag.shape!.info.name, force: [0, 0, 0] });
    if (drag.kind === 'goal') {
      const at = this.cast(event, drag.plane);
      if (at !== undefined) this.dragGoal(drag, at.sub(drag.grip), event.shiftKey, true);
      this.settle(drag.homes.keys());
    }
    const moved_px = Math.hypot(event.clientX - drag.x, event.clientY - drag.y);
    const clicked = moved_px < CLICK_PX && event.timeStamp - drag.began_ms < CLICK_MS;
    if (drag.kind === 'view' && finished && clicked && drag.shape?.info.role !== 'robot') this.click(event);
  }

  private dragGoal(drag: Drag, delta: THREE.Vector3, vertical: boolean, last: boolean): void {
    const by = vertical ? new THREE.Vector3(0, 0, delta.z) : new THREE.Vector3(delta.x, delta.y, 0);
    const home = drag.homes.get(drag.shape!)!;
    const slot = goalSlot(drag.goal, home);
    if (slot === undefined) return;
    for (const [ghost, from] of drag.homes) ghost.mesh.position.copy(from).add(by);
    if (last || this.due()) this.host.send({ kind: 'goal', goal: moveGoal(drag.goal, slot, home, by) });
  }

  private dragPush(drag: Drag, delta: THREE.Vector3, event: PointerEvent): void {
    const { radius } = this.host.view;
    const newtons = Math.min((delta.length() / radius) * FULL_DRAG_N, MAX_PUSH_N);
    if (newtons < 0.05) return;
    const direction = delta.normalize();
    const origin = drag.shape!.mesh.position.clone().setZ(drag.grip.z);
    this.arrow.show(origin, direction, (newtons / FULL_DRAG_N) * radius, 0.009 * radius, cssColor('push'));
    this.host.tip(`push ${drag.shape!.info.name} ${newtons.toFixed(1)} N`, event.clientX, event.clientY);
    if (!this.due()) return;
    const force = direction.multiplyScalar(newtons);
    this.host.send({ kind: 'push', name: drag.shape!.info.name, force: [force.x, force.y, force.z] });
  }

  private click(event: PointerEvent): void {
    const goal = this.host.goal();
    const at = this.cast(event, new THREE.Plane(new THREE.Vector3(0, 0, 1), -this.host.view.table_z));
    if (goal.length < 2 || at === undefined) return;
    const ghosts = this.host.view.shapes.filter(({ info }) => info.role === 'goal');
    const distance = ({ mesh }: DrawnShape) => Math.hypot(mesh.position.x - at.x, mesh.position.y - at.y);
    const nearest = ghosts.sort((a, b) => distance(a) - distance(b))[0];
    // A goal without a ghost starts with its x and y, by convention.
    const slot = nearest === undefined ? 0 : goalSlot(goal, nearest.mesh.position)!;
    const delta = new THREE.Vector3(at.x - goal[slot]!, at.y - goal[slot + 1]!, 0);
    const moved = nearest === undefined ? [] : this.siblings(nearest, goal);
    const from = nearest?.mesh.position.clone() ?? at;
    for (const ghost of moved) ghost.mesh.position.add(delta);
    this.settle(moved);
    this.host.send({ kind: 'goal', goal: moveGoal(goal, slot, from, delta) });
    this.host.view.invalidate();
  }

  /** The ghosts that the same numbers of the goal move: the two bars of a T, say. */
  private siblings(shape: DrawnShape, goal: readonly number[]): DrawnShape[] {
    const slot = goalSlot(goal, shape.mesh.position);
    return this.host.view.shapes.filter(
      (other) => other.info.role === 'goal' && goalSlot(goal, other.mesh.position) === slot,
    );
  }

  private settle(ghosts: Iterable<DrawnShape>): void {
    this.settled = new Set(ghosts);
    this.settling_until_ms = performance.now() + SETTLE_MS;
  }

  private hover(shape: DrawnShape | undefined, x: number, y: number): void {
    const grabs =
      shape?.info.role === 'object' || (shape?.info.role === 'goal' && this.host.goal().length > 1);
    this.host.view.canvas.style.cursor = grabs ? 'grab' : '';
    const verb = shape?.info.role === 'goal' ? 'drag to move' : 'drag to push';
    this.host.tip(grabs && x > 0 ? `${verb} ${shape!.info.name}` : undefined, x, y);
  }

  private due(): boolean {
    const now_ms = performance.now();
    if (now_ms - this.sent_ms < 1000 / SEND_HZ) return false;
    this.sent_ms = now_ms;
    return true;
  }

  private pick(event: PointerEvent): { shape: DrawnShape; point: THREE.Vector3 } | undefined {
    this.aim(event);
    const { shapes, world } = this.host.view;
    // Rays meet matrices, which otherwise follow positions only when a frame is drawn.
    world.updateMatrixWorld();
    const hits = this.caster.intersectObjects(
      shapes.filter(({ mesh }) => mesh.visible).map(({ mesh }) => mesh),
    );
    // The robot is often in the way of what it works on, and cannot be taken itself: hands reach through it. A ghost
    // is see-through: an object that it surrounds comes first.
    const role = ({ object }: THREE.Intersection) => roleOf(shapes, object);
    const reachable = hits.filter((hit) => role(hit) !== 'robot');
    const solid = reachable.find((hit) => role(hit) !== 'goal');
    const object = solid !== undefined && role(solid) === 'object' ? solid : undefined;
    const ghost = reachable[0] !== undefined && role(reachable[0]) === 'goal' ? reachable[0] : undefined;
    const hit = object ?? ghost ?? hits[0];
    const shape = shapes.find(({ mesh }) => mesh === hit?.object);
    return hit === undefined || shape === undefined ? undefined : { shape, point: hit.point };
  }

  private handleAt(event: PointerEvent): THREE.Vector3 | undefined {
    this.aim(event);
    return this.host.handle.met(this.caster.ray);
  }

  private cast(event: PointerEvent, plane: THREE.Plane): THREE.Vector3 | undefined {
    this.aim(event);
    return this.caster.ray.intersectPlane(plane, new THREE.Vector3()) ?? undefined;
  }

  private aim(event: PointerEvent): void {
    const box = this.host.view.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 2 - 1;
    const y = 1 - ((event.clientY - box.top) / box.height) * 2;
    this.caster.setFromCamera(new THREE.Vector2(x, y), this.host.view.camera);
  }
}

function roleOf(shapes: readonly DrawnShape[], object: THREE.Object3D): string | undefined {
  return shapes.find(({ mesh }) => mesh === object)?.info.role;
}

/** Turns the plane upright through `grip`, facing the camera: for moving up and down. */
function facing(plane: THREE.Plane, camera: THREE.Camera, grip: THREE.Vector3): void {
  const normal = camera.position.clone().sub(grip).setZ(0).normalize();
  plane.setFromNormalAndCoplanarPoint(normal, grip);
}
