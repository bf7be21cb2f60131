// The robot's hand as something to take hold of: a ring of light where the hand is, or where it is being sent. Shown
// while the operator drives; gestures.ts drags it.

import * as THREE from 'three';
import { cssColor } from './dom.js';

/** Of the scene's half extent. */
const SIZE = 0.045;
const GRIP = 1.8;

export class Handle {
  readonly mesh: THREE.Mesh;
  private readonly material = new THREE.MeshBasicMaterial({
    depthTest: false,
    transparent: true,
    opacity: 0.75,
  });
  /** What a pointer meets: larger than what is seen, for fingers. */
  private readonly sphere = new THREE.Sphere();

  constructor(world: THREE.Object3D) {
    this.mesh = new THREE.Mesh(new THREE.SphereGeometry(1, 20, 14), this.material);
    this.mesh.renderOrder = 10;
    this.mesh.visible = false;
    world.add(this.mesh);
  }

  /** Puts it at `point` in a scene of half extent `radius`; undefined takes it away. True when something changed. */
  show(point: readonly number[] | undefined, radius: number): boolean {
    const was = this.mesh.visible;
    this.mesh.visible = point !== undefined && point.length === 3;
    if (!this.mesh.visible) return was;
    const [x = 0, y = 0, z = 0] = point!;
    const moved = this.mesh.position.distanceToSquared(new THREE.Vector3(x, y, z)) > 1e-10;
    this.mesh.position.set(x, y, z);
    this.mesh.scale.setScalar(SIZE * radius);
    this.material.color.set(cssColor('hand'));
    this.sphere.set(this.mesh.position, SIZE * GRIP * radius);
    return moved || !was;
  }

  /** Where `ray` takes hold of it, if it does. */
  met(ray: THREE.Ray): THREE.Vector3 | undefined {
    return this.mesh.visible && ray.intersectsSphere(this.sphere) ? this.mesh.position.clone() : undefined;
  }
}
