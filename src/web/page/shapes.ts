// Draws MuJoCo primitives: half sizes in, three.js meshes out, z up, quaternions as w x y z.

import * as THREE from 'three';
import { RoundedBoxGeometry } from 'three/addons/geometries/RoundedBoxGeometry.js';
import type { LiveScene } from '../../types/live.js';

export type ShapeInfo = LiveScene['shapes'][number];

/** Half extent given to planes that MuJoCo calls infinite (size 0), metres. */
const ENDLESS_M = 40;

export interface DrawnShape {
  readonly info: ShapeInfo;
  readonly index: number;
  readonly mesh: THREE.Mesh<THREE.BufferGeometry, THREE.MeshStandardMaterial>;
}

export function drawShape(info: ShapeInfo, index: number): DrawnShape {
  const mesh = new THREE.Mesh(geometryOf(info), materialOf(info));
  const ghost = info.role === 'goal';
  mesh.name = info.name;
  mesh.castShadow = !ghost && info.kind !== 'plane';
  mesh.receiveShadow = !ghost;
  if (ghost) {
    mesh.renderOrder = 2;
    mesh.add(outlineOf(mesh));
  }
  return { info, index, mesh };
}

/** Puts the shape where row `index` of poses (n, 7) says. */
export function placeShape({ mesh, index }: DrawnShape, poses: Float32Array): void {
  const at = index * 7;
  mesh.position.set(poses[at]!, poses[at + 1]!, poses[at + 2]!);
  mesh.quaternion.set(poses[at + 4]!, poses[at + 5]!, poses[at + 6]!, poses[at + 3]!);
}

export function dropShape({ mesh }: DrawnShape): void {
  mesh.removeFromParent();
  mesh.traverse((part) => {
    if (part instanceof THREE.Mesh || part instanceof THREE.LineSegments) {
      part.geometry.dispose();
      part.material.dispose();
    }
  });
}

/** A plane without an edge: the ground. */
export function isGround({ kind, size }: ShapeInfo): boolean {
  return kind === 'plane' && (size[0] === 0 || size[1] === 0);
}

function geometryOf({ kind, size: [x, y, z] }: ShapeInfo): THREE.BufferGeometry {
  switch (kind) {
    case 'box':
      return new RoundedBoxGeometry(2 * x, 2 * y, 2 * z, 3, Math.min(0.18 * Math.min(x, y, z), 0.008));
    case 'sphere':
      return new THREE.SphereGeometry(x, 40, 24);
    case 'cylinder':
      return new THREE.CylinderGeometry(x, x, 2 * y, 48).rotateX(Math.PI / 2);
    case 'capsule':
      return new THREE.CapsuleGeometry(x, 2 * y, 12, 32).rotateX(Math.PI / 2);
    case 'plane':
      return new THREE.PlaneGeometry(2 * (x || ENDLESS_M), 2 * (y || ENDLESS_M));
    default:
      return new THREE.SphereGeometry(Math.max(x, 0.01), 16, 12);
  }
}

function materialOf({ rgba: [r, g, b, a], role, kind }: ShapeInfo): THREE.MeshStandardMaterial {
  const color = new THREE.Color().setRGB(r, g, b, THREE.SRGBColorSpace);
  if (role === 'goal') {
    return new THREE.MeshStandardMaterial({
      color,
      emissive: color,
      emissiveIntensity: 0.35,
      transparent: true,
      opacity: Math.min(a, 0.34),
      depthWrite: false,
      roughness: 0.6,
    });
  }
  return new THREE.MeshStandardMaterial({
    color,
    transparent: a < 1,
    opacity: a,
    roughness: role === 'robot' ? 0.42 : 0.62,
    metalness: role === 'robot' ? 0.18 : 0,
    ...(kind === 'plane' ? { side: THREE.DoubleSide } : {}),
  });
}

function outlineOf(mesh: DrawnShape['mesh']): THREE.LineSegments {
  const edges = new THREE.EdgesGeometry(mesh.geometry, 35);
  const line = new THREE.LineBasicMaterial({ color: mesh.material.color, transparent: true, opacity: 0.75 });
  const outline = new THREE.LineSegments(edges, line);
  outline.raycast = () => {};
  return outline;
}
