// A solid arrow from one point to another, drawn over everything: the force that the operator applies.

import * as THREE from 'three';

export class Arrow {
  readonly group = new THREE.Group();
  private readonly material = new THREE.MeshBasicMaterial({
    depthTest: false,
    transparent: true,
    opacity: 0.9,
  });
  // Both of unit size along +y, from y = 0.
  private readonly shaft = new THREE.Mesh(
    new THREE.CylinderGeometry(1, 1, 1, 16).translate(0, 0.5, 0),
    this.material,
  );
  private readonly head = new THREE.Mesh(
    new THREE.ConeGeometry(1, 1, 24).translate(0, 0.5, 0),
    this.material,
  );

  constructor() {
    this.group.add(this.shaft, this.head);
    for (const part of this.group.children) part.renderOrder = 9;
    this.hide();
  }

  hide(): void {
    this.group.visible = false;
  }

  /** From `origin` along the unit vector `direction`; `thickness` is the shaft's radius. */
  show(
    origin: THREE.Vector3,
    direction: THREE.Vector3,
    length: number,
    thickness: number,
    color: string,
  ): void {
    const tip = Math.min(5 * thickness, 0.6 * length);
    this.group.visible = true;
    this.group.position.copy(origin);
    this.group.quaternion.setFromUnitVectors(new THREE.Vector3(0, 1, 0), direction);
    this.shaft.scale.set(thickness, length - tip, thickness);
    this.head.position.y = length - tip;
    this.head.scale.set(2.4 * thickness, tip, 2.4 * thickness);
    this.material.color.set(color);
  }
}
