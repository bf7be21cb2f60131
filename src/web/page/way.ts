// The way to the goal, as the parts of a goal-conditioned policy see it: a line through the places ahead, the next one larger, and
// a sentence with how far it is.

import * as THREE from 'three';
import type { LiveProgress } from '../../types/live.js';
import { byId, cssColor, figure, setText } from './dom.js';

export class WayView {
  private readonly group = new THREE.Group();
  private drawn = '';

  constructor(world: THREE.Scene) {
    world.add(this.group);
  }

  /** `from`: where the robot is. True where the picture has changed. */
  show(progress: LiveProgress | undefined, from: readonly number[], radius: number): boolean {
    const line = byId('way');
    line.hidden = progress === undefined;
    setText(line, progress === undefined ? '' : sentence(progress));
    const ahead = progress?.ahead ?? [];
    const key = JSON.stringify([ahead, ahead.length === 0 ? [] : from.map((v) => v.toFixed(2))]);
    if (key === this.drawn) return false;
    this.drawn = key;
    this.clear();
    if (ahead.length > 0) this.draw(ahead, from, radius);
    return true;
  }

  private draw(
    ahead: readonly (readonly [number, number, number])[],
    from: readonly number[],
    radius: number,
  ): void {
    const color = new THREE.Color(cssColor('path'));
    const at = (p: readonly number[]): THREE.Vector3 => new THREE.Vector3(p[0], p[1], p[2]);
    const points = [...(from.length === 3 ? [at(from)] : []), ...ahead.map(at)];
    const material = { color, transparent: true, depthTest: false } as const;
    const path = new THREE.Line(
      new THREE.BufferGeometry().setFromPoints(points),
      new THREE.LineBasicMaterial({ ...material, opacity: 0.7 }),
    );
    this.group.add(path);
    ahead.forEach((place, i) => {
      const bead = new THREE.Mesh(
        new THREE.SphereGeometry((i === 0 ? 0.02 : 0.009) * radius, 14, 10),
        new THREE.MeshBasicMaterial({ ...material, opacity: i === 0 ? 1 : 0.6 }),
      );
      bead.position.copy(at(place));
      this.group.add(bead);
    });
    for (const part of this.group.children) {
      part.renderOrder = 3;
      part.raycast = () => {};
    }
  }

  private clear(): void {
    for (const part of [...this.group.children]) {
      if (part instanceof THREE.Mesh || part instanceof THREE.Line) {
        part.geometry.dispose();
        (part.material as THREE.Material).dispose();
      }
      part.removeFromParent();
    }
  }
}

/** 4 of 7 · 2.1 s to go · on the way */
export function sentence({ state, place, places, steps_left, seconds_left }: LiveProgress): string {
  const left =
    seconds_left !== undefined
      ? `${figure(Math.max(0, seconds_left))} s to go`
      : steps_left !== undefined
        ? `${figure(Math.max(0, steps_left))} steps to go`
        : '';
  return [places === undefined ? '' : `${place} of ${places}`, state === 'reached' ? '' : left, state]
    .filter((part) => part !== '')
    .join(' · ');
}
