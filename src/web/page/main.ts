// The page's start: joins the connection to the scene, the panel, the plots and the hands. Frames flow one way,
// intents the other; nothing here decides anything about the robot.

import type { LiveChunk, LiveFrame, LiveScene, LiveStatus, OperatorIntent } from '../../types/live.js';
import { byId, figure, setText } from './dom.js';
import { Gestures } from './gestures.js';
import { Handle } from './handle.js';
import { Link, type LinkState } from './link.js';
import { Panel } from './panel.js';
import { Parts } from './parts.js';
import { PathView } from './paths.js';
import { Plots } from './plots.js';
import { SceneView } from './scene.js';
import { Teleop } from './teleop.js';
import { WayView } from './way.js';

const view = new SceneView(byId<HTMLCanvasElement>('scene'));
const paths = new PathView(view.world);
const way = new WayView(view.world);
const plots = new Plots();
let scene: LiveScene | undefined;
let status: LiveStatus | undefined;

const link = new Link({ frame: receive, state: showLink });
const panel = new Panel({ send: (intent) => link.send(intent) });
const parts = new Parts((intent) => panel.ask(intent));
const handle = new Handle(view.world);
const teleop = new Teleop({
  ask: (intent) => panel.ask(intent),
  radius: () => view.radius,
  toWorld: (direction) => view.toWorld(direction),
  showHandle: (point) => {
    if (handle.show(point, view.radius)) view.invalidate();
  },
});
const gestures = new Gestures({
  view,
  handle,
  goal: () => (scene !== undefined && scene.goal_dim > 0 ? (status?.goal ?? []) : []),
  send: (intent: OperatorIntent) => void panel.ask(intent),
  aim: (point) => teleop.aim(point),
  tip: showTip,
});
view.animate = (now_ms) => paths.animate(now_ms);

function receive(frame: LiveFrame): void {
  switch (frame.kind) {
    case 'scene':
      loadScene(frame);
      break;
    case 'poses':
      view.place(frame.poses, (shape) => gestures.holds(shape));
      break;
    case 'chunk':
      showChunk(frame);
      break;
    case 'status':
      status = frame;
      panel.show(frame);
      parts.show(frame.parts);
      plots.push(frame);
      teleop.show(frame);
      if (way.show(frame.progress, frame.hand, view.radius)) view.invalidate();
      break;
  }
}

function loadScene(next: LiveScene): void {
  scene = next;
  status = undefined;
  paths.clear();
  way.show(undefined, [], 1);
  view.load(next);
  panel.load(next);
  plots.load(next.joint_names);
  teleop.load(next);
  const pushes = next.shapes.some(({ role }) => role === 'object');
  const words = [
    ...(next.goal_dim > 1 ? ['drag the ghost or click the table to set the goal'] : []),
    ...(pushes ? ['drag an object to push it'] : []),
    'drag elsewhere to turn the view',
  ];
  setText(byId('hint'), words.join(' · '));
}

function showChunk(chunk: LiveChunk): void {
  paths.show(chunk, view.radius, performance.now());
  view.invalidate();
  const { scores } = chunk;
  byId('legend').hidden = chunk.n_candidates < 2;
  setText(byId('legend-low'), scores === undefined ? 'candidate 1' : `return ${figure(Math.min(...scores))}`);
  setText(byId('legend-high'), scores === undefined ? `${chunk.n_candidates}` : figure(Math.max(...scores)));
}

function showLink(state: LinkState, retry_s: number): void {
  document.body.dataset.link = state;
  byId('lost').hidden = state === 'open';
  if (state === 'open') return;
  teleop.release();
  panel.lost();
  const silent = state === 'silent';
  setText(byId('lost-title'), silent ? 'No news from the controller' : 'Connection lost');
  const retry = silent
    ? 'The connection is open, but nothing arrives.'
    : `Trying again in ${figure(retry_s)} s.`;
  setText(
    byId('lost-text'),
    `What you see is old. ${retry} The controller keeps its own watch over the robot.`,
  );
}

function showTip(text: string | undefined, x: number, y: number): void {
  const tip = byId('tip');
  tip.hidden = text === undefined;
  if (text === undefined) return;
  setText(tip, text);
  const box = view.canvas.getBoundingClientRect();
  tip.style.left = `${Math.min(x - box.left + 14, box.width - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.max(y - box.top - 30, 8)}px`;
}
