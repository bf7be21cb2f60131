// The 3-D scene: renderer, light, camera and the shapes of the task. It draws only when something moved, and gives
// up pixels, then shadows, on machines that cannot keep up.

import * as THREE from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { RoomEnvironment } from 'three/addons/environments/RoomEnvironment.js';
import type { LiveScene } from '../../types/live.js';
import { cssColor, onScheme } from './dom.js';
import { type DrawnShape, drawShape, dropShape, isGround, placeShape } from './shapes.js';

/** Mean time of a frame above which the picture gets cheaper, and the steps by which it does. */
const SLOW_FRAME_MS = 40;
const QUALITY = [
  { pixels: 2, shadow: 1024 },
  { pixels: 1, shadow: 1024 },
  { pixels: 1, shadow: 512 },
  { pixels: 0.75, shadow: 256 },
  { pixels: 0.5, shadow: 0 },
] as const;

export class SceneView {
  readonly camera = new THREE.PerspectiveCamera(38, 1, 0.01, 100);
  readonly world = new THREE.Scene();
  readonly controls: OrbitControls;
  shapes: DrawnShape[] = [];
  /** Height of the surface that a click on the ground means, metres. */
  table_z = 0;
  /** Half extent of what there is to see, metres. */
  radius = 1;
  /** Called before each frame with its time; true asks for one more. */
  animate: ((now_ms: number) => boolean) | undefined;

  private readonly renderer: THREE.WebGLRenderer;
  private readonly sun = new THREE.DirectionalLight(0xffffff, 2.1);
  private readonly sky = new THREE.HemisphereLight(0xffffff, 0x8a93a6, 0.55);
  private grid: THREE.GridHelper | undefined;
  private floor: THREE.Mesh<THREE.BufferGeometry, THREE.MeshStandardMaterial> | undefined;
  private dirty = true;
  private framed = false;
  private frame_ms = 16;
  private last_ms = 0;
  private rest_until_ms = 0;
  private quality = devicePixelRatio > 1 ? 0 : 1;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = THREE.PCFShadowMap;
    this.renderer.toneMapping = THREE.NeutralToneMapping;
    const pmrem = new THREE.PMREMGenerator(this.renderer);
    this.world.environment = pmrem.fromScene(new RoomEnvironment(), 0.04).texture;
    this.world.environmentIntensity = 0.45;
    pmrem.dispose();
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.dampingFactor = 0.12;
    this.controls.maxPolarAngle = Math.PI / 2 - 0.02;
    this.controls.addEventListener('change', () => this.invalidate());
    this.sun.castShadow = true;
    this.sun.shadow.mapSize.set(1024, 1024);
    this.sun.shadow.radius = 4;
    this.world.add(this.sun, this.sun.target, this.sky);
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement!);
    onScheme(() => this.paint());
    requestAnimationFrame((now) => this.frame(now));
  }

  /** Replaces the shapes; the camera is set when the first poses come. */
  load(scene: LiveScene): void {
    for (const shape of this.shapes) dropShape(shape);
    this.shapes = scene.shapes.map(drawShape);
    // Until its first pose comes, a shape is nowhere rather than at the origin.
    for (const { mesh } of this.shapes) {
      mesh.visible = false;
      this.world.add(mesh);
    }
    this.framed = false;
    this.invalidate();
  }

  /** Places every shape, except those that `held` says the operator has in hand. */
  place(poses: Float32Array, held: (shape: DrawnShape) => boolean): void {
    if (poses.length !== this.shapes.length * 7) return; // of the scene before this one
    for (const shape of this.shapes) {
      if (!held(shape)) placeShape(shape, poses);
      shape.mesh.visible = !isGround(shape.info);
    }
    if (!this.framed) this.fit();
    this.invalidate();
  }

  invalidate(): void {
    this.dirty = true;
  }

  /** Right, away from the eye and up, in the world; the first two lie in the plane of the table. */
  toWorld([right, away, up]: readonly [number, number, number]): [number, number, number] {
    const ahead = this.camera.getWorldDirection(new THREE.Vector3()).setZ(0).normalize();
    return [right * ahead.y + away * ahead.x, -right * ahead.x + away * ahead.y, up];
  }

  /** Looks at everything from the front, higher when the task is flat. */
  fit(): void {
    const box = new THREE.Box3();
    for (const { mesh, info } of this.shapes) if (!isGround(info)) box.expandByObject(mesh);
    if (box.isEmpty()) return;
    this.framed = true;
    const size = box.getSize(new THREE.Vector3());
    const centre = box.getCenter(new THREE.Vector3());
    this.radius = Math.max(size.length() / 2, 0.05);
    this.table_z = tableHeight(this.shapes, box.min.z);
    const flat = size.z < 0.3 * Math.max(size.x, size.y);
    const azimuth = flat ? -Math.PI / 2 : -Math.PI * 0.3;
    const elevation = flat ? 0.95 : 0.5;
    const narrow = Math.min(1, this.camera.aspect / 1.15);
    const distance =
      (this.radius / Math.sin((this.camera.fov * Math.PI) / 360) / narrow) * (flat ? 0.86 : 0.97);
    // Looking a little below the middle keeps the lower edge, where the words are, free.
    centre.z -= flat ? 0 : 0.14 * this.radius;
    this.controls.target.copy(centre);
    this.camera.position
      .set(
        Math.cos(azimuth) * Math.cos(elevation),
        Math.sin(azimuth) * Math.cos(elevation),
        Math.sin(elevation),
      )
      .multiplyScalar(distance)
      .add(centre);
    this.camera.near = distance / 50;
    this.camera.far = distance * 20;
    this.camera.updateProjectionMatrix();
    this.controls.minDistance = this.radius * 0.4;
    this.controls.maxDistance = distance * 3;
    this.controls.update();
    this.lightUp(centre, box.min.z);
    this.paint();
  }

  private lightUp(centre: THREE.Vector3, floor_z: number): void {
    const r = this.radius;
    this.sun.position.set(centre.x - 0.9 * r, centre.y - 1.3 * r, centre.z + 2.6 * r);
    this.sun.target.position.copy(centre);
    const { shadow } = this.sun;
    Object.assign(shadow.camera, { left: -1.4 * r, right: 1.4 * r, top: 1.4 * r, bottom: -1.4 * r });
    shadow.camera.near = 0.1 * r;
    shadow.camera.far = 6 * r;
    shadow.normalBias = 0.006 * r;
    shadow.camera.updateProjectionMatrix();
    this.floor?.removeFromParent();
    this.grid?.removeFromParent();
    this.floor = new THREE.Mesh(
      new THREE.CircleGeometry(14 * r, 64),
      new THREE.MeshStandardMaterial({ roughness: 0.95, envMapIntensity: 0 }),
    );
    this.floor.position.set(centre.x, centre.y, floor_z - 0.004 * r);
    this.floor.receiveShadow = true;
    const cell = 10 ** Math.round(Math.log10(r / 3));
    const n_cells = 2 * Math.ceil((4 * r) / cell);
    this.grid = new THREE.GridHelper(n_cells * cell, n_cells);
    this.grid.rotateX(Math.PI / 2);
    this.grid.position.set(centre.x, centre.y, floor_z - 0.003 * r);
    this.world.fog = new THREE.Fog(0, 6 * r, 16 * r);
    this.world.add(this.floor, this.grid);
  }

  private paint(): void {
    const back = new THREE.Color(cssColor('scene-back'));
    this.world.background = back;
    if (this.world.fog !== null) this.world.fog.color.copy(back);
    this.floor?.material.color.set(cssColor('scene-floor'));
    if (this.grid !== undefined) {
      const { material } = this.grid;
      material.vertexColors = false;
      material.transparent = true;
      material.opacity = 0.35;
      material.color.set(cssColor('scene-grid'));
      material.needsUpdate = true;
    }
    this.invalidate();
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement!;
    if (width === 0 || height === 0) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, QUALITY[this.quality]!.pixels));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.invalidate();
  }

  private frame(now_ms: number): void {
    requestAnimationFrame((next) => this.frame(next));
    if (now_ms < this.rest_until_ms) return;
    if (this.last_ms > 0) this.economise(now_ms - this.last_ms);
    this.last_ms = 0;
    this.controls.update();
    if (this.animate?.(now_ms) === true) this.dirty = true;
    if (!this.dirty || document.hidden) return;
    this.dirty = false;
    this.renderer.render(this.world, this.camera);
    this.last_ms = now_ms;
    // Where drawing is slow it takes half of the time at most: the buttons need the other half.
    if (this.frame_ms > SLOW_FRAME_MS) this.rest_until_ms = now_ms + 2 * this.frame_ms;
  }

  /** Follows the mean time of a frame, and takes the next step down when it stays too long. */
  private economise(elapsed_ms: number): void {
    this.frame_ms += 0.12 * (Math.min(elapsed_ms, 400) - this.frame_ms);
    if (this.frame_ms < SLOW_FRAME_MS || this.quality === QUALITY.length - 1) return;
    this.quality++;
    this.frame_ms = SLOW_FRAME_MS / 2;
    const { shadow } = QUALITY[this.quality]!;
    this.sun.castShadow = shadow > 0;
    this.sun.shadow.mapSize.set(shadow || 256, shadow || 256);
    this.sun.shadow.map?.dispose();
    this.sun.shadow.map = null;
    this.resize();
  }
}

/** The top of the largest flat thing in the scene, else the lowest point. */
function tableHeight(shapes: readonly DrawnShape[], lowest: number): number {
  let best_area = 0;
  let height = lowest;
  for (const { mesh, info } of shapes) {
    if (info.role !== 'scene') continue;
    const box = new THREE.Box3().setFromObject(mesh);
    const area = (box.max.x - box.min.x) * (box.max.y - box.min.y);
    if (area > best_area) {
      best_area = area;
      height = box.max.z;
    }
  }
  return height;
}
