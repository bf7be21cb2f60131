// Action chunks as paths through the workspace: the chosen one bold with a bead per action, the alternatives thin
// and coloured by score, or by index when nothing scored them. A chunk fades once a newer one has replaced it.

import * as THREE from 'three';
import { LineMaterial } from 'three/addons/lines/LineMaterial.js';
import { LineSegments2 } from 'three/addons/lines/LineSegments2.js';
import { LineSegmentsGeometry } from 'three/addons/lines/LineSegmentsGeometry.js';
import type { LiveChunk } from '../../types/live.js';
import { cssColor } from './dom.js';

/** How long a replaced chunk stays visible. */
const FADE_MS = 900;
const HISTORY = 3;

interface Drawn {
  readonly group: THREE.Group;
  readonly chosen: LineMaterial;
  readonly others: LineMaterial;
  readonly beads: THREE.MeshBasicMaterial;
  /** When a newer chunk came; undefined for the newest. */
  replaced_ms: number | undefined;
}

export class PathView {
  private drawn: Drawn[] = [];

  constructor(private readonly world: THREE.Scene) {}

  show(chunk: LiveChunk, radius: number, now_ms: number): void {
    const newest = this.drawn.at(-1);
    if (newest !== undefined) newest.replaced_ms = now_ms;
    const drawn = drawChunk(chunk, radius);
    this.world.add(drawn.group);
    this.drawn.push(drawn);
    while (this.drawn.length > HISTORY) dispose(this.drawn.shift()!);
  }

  /** True while anything is still fading. */
  animate(now_ms: number): boolean {
    let moving = false;
    for (const drawn of [...this.drawn]) {
      if (drawn.replaced_ms === undefined) continue;
      const left = 1 - (now_ms - drawn.replaced_ms) / FADE_MS;
      moving = true;
      if (left <= 0) {
        dispose(drawn);
        this.drawn.splice(this.drawn.indexOf(drawn), 1);
        continue;
      }
      drawn.chosen.opacity = 0.45 * left ** 2;
      drawn.others.opacity = 0.25 * left ** 2;
      drawn.beads.opacity = 0.3 * left ** 2;
    }
    return moving;
  }

  clear(): void {
    for (const drawn of this.drawn) dispose(drawn);
    this.drawn = [];
  }
}

/** 0 (worst, first) … 1 (best, last), from violet by way of red: the ramp that the legend shows. */
function rampColor(t: number, into: THREE.Color): THREE.Color {
  const low = new THREE.Color(cssColor('ramp-low')).getHSL({ h: 0, s: 0, l: 0 });
  const high = new THREE.Color(cssColor('ramp-high')).getHSL({ h: 0, s: 0, l: 0 });
  const mix = (a: number, b: number) => a + t * (b - a);
  return into.setHSL(mix(low.h, high.h + 1) % 1, mix(low.s, high.s), mix(low.l, high.l));
}

function drawChunk(chunk: LiveChunk, radius: number): Drawn {
  const { paths, n_candidates, horizon, chosen } = chunk;
  const back = new THREE.Color(cssColor('scene-back'));
  const accent = new THREE.Color(cssColor('path'));
  const own = new Segments(horizon);
  const rest = new Segments(horizon * n_candidates);
  const tint = new THREE.Color();
  for (let k = 0; k < n_candidates; k++) {
    const line = paths.subarray(k * horizon * 3, (k + 1) * horizon * 3);
    if (k === chosen) own.add(line, accent, back, 0.35);
    else {
      const t = rank(chunk, k);
      rampColor(t, tint);
      // What a planner imagined fades by its return; nobody's favourite is hardly to be seen.
      if (chunk.scores !== undefined) tint.lerp(back, 0.75 * (1 - t));
      rest.add(line, tint, back, 0.8);
    }
  }
  const group = new THREE.Group();
  const chosen_material = lineMaterial(4.5, 1);
  const others_material = lineMaterial(1.8, n_candidates > 24 ? 0.45 : 0.7);
  for (const part of [rest.mesh(others_material, 4), own.mesh(chosen_material, 5)])
    if (part !== undefined) group.add(part);
  const beads = new THREE.MeshBasicMaterial({ color: accent, transparent: true, depthTest: false });
  group.add(
    drawBeads(paths.subarray(chosen * horizon * 3, (chosen + 1) * horizon * 3), beads, 0.008 * radius),
  );
  return { group, chosen: chosen_material, others: others_material, beads, replaced_ms: undefined };
}

function rank({ scores, n_candidates }: LiveChunk, k: number): number {
  if (scores === undefined) return n_candidates < 2 ? 1 : k / (n_candidates - 1);
  const low = Math.min(...scores);
  const high = Math.max(...scores);
  return high > low ? (scores[k]! - low) / (high - low) : 1;
}

/** Line segments gathered for one draw call. */
class Segments {
  private readonly positions: Float32Array;
  private readonly colors: Float32Array;
  private at = 0;

  constructor(capacity: number) {
    this.positions = new Float32Array(capacity * 6);
    this.colors = new Float32Array(capacity * 6);
  }

  /** A path (horizon, 3) in `color`, which nears `back` by `fade` at its far end. */
  add(path: Float32Array, color: THREE.Color, back: THREE.Color, fade: number): void {
    const n = path.length / 3;
    const mixed = new THREE.Color();
    for (let i = 0; i + 1 < n; i++) {
      this.positions.set(path.subarray(3 * i, 3 * i + 6), this.at);
      mixed.lerpColors(color, back, (fade * i) / n).toArray(this.colors, this.at);
      mixed.lerpColors(color, back, (fade * (i + 1)) / n).toArray(this.colors, this.at + 3);
      this.at += 6;
    }
  }

  /** Undefined when nothing was added. */
  mesh(material: LineMaterial, order: number): LineSegments2 | undefined {
    if (this.at === 0) return undefined;
    const geometry = new LineSegmentsGeometry();
    geometry.setPositions(this.positions.subarray(0, this.at));
    geometry.setColors(this.colors.subarray(0, this.at));
    const mesh = new LineSegments2(geometry, material);
    mesh.frustumCulled = false;
    mesh.renderOrder = order;
    mesh.raycast = () => {};
    return mesh;
  }
}

function lineMaterial(width_px: number, opacity: number): LineMaterial {
  return new LineMaterial({
    linewidth: width_px,
    vertexColors: true,
    transparent: true,
    opacity,
    depthTest: false,
    fog: false,
  });
}

function drawBeads(path: Float32Array, material: THREE.MeshBasicMaterial, size: number): THREE.InstancedMesh {
  const n = path.length / 3;
  const beads = new THREE.InstancedMesh(new THREE.SphereGeometry(size, 10, 8), material, n);
  const place = new THREE.Matrix4();
  for (let i = 0; i < n; i++)
    beads.setMatrixAt(i, place.makeTranslation(path[3 * i]!, path[3 * i + 1]!, path[3 * i + 2]!));
  beads.frustumCulled = false;
  beads.renderOrder = 6;
  beads.raycast = () => {};
  return beads;
}

function dispose({ group, chosen, others, beads }: Drawn): void {
  group.removeFromParent();
  group.traverse((part) => {
    if (part instanceof THREE.InstancedMesh) part.dispose();
    if (part instanceof THREE.Mesh) part.geometry.dispose();
  });
  for (const material of [chosen, others, beads]) material.dispose();
}
