// What people name as a checkpoint: its folder, the folder of the training around it, or the training's own file. Where only one
// policy can be meant it is taken, with a sentence; several are listed.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TendonError } from '../types/index.js';
import { cached, fileHash } from '../weights/index.js';
import { isActorFolder } from './actor/index.js';
import { isAdapter } from './adapters/merge.js';
import { BESO_WEIGHTS, besoRun } from './convert/beso.js';
import { convert, writeCheckpoint } from './convert/index.js';

const TORCH = /\.(ckpt|pt|pth)$/;
/** Names in a list of what could be meant. */
const LISTED = 12;

/** The folder to open: `path` itself, what lies in it, or what was imported from it. */
export function checkpointFolder(path: string): string {
  if (!existsSync(path)) return path;
  if (statSync(path).isFile()) {
    const dir = dirname(path);
    // BESO's folder is opened as it is, with the statistics that lie in it.
    if (basename(path) === BESO_WEIGHTS && (existsSync(join(dir, 'config.json')) || besoRun(dir))) return dir;
    return TORCH.test(path) ? imported(path) : path;
  }
  if (existsSync(join(path, 'config.json')) || isAdapter(path) || isActorFolder(path)) return path;
  if (besoRun(path) !== undefined) return path;
  const found = distinct([...folders(path), ...files(path)]);
  const [only] = found;
  if (only === undefined) return path;
  if (found.length > 1)
    throw new TendonError(
      'config_invalid',
      `${path} holds ${found.length} checkpoints; name the one to be run: ${found.slice(0, LISTED).join(', ')}${found.length > LISTED ? ' …' : ''}`,
      { dir: path, found },
    );
  process.emitWarning(`${path} is a training's folder; its policy is ${only}`, 'TendonWarning');
  return TORCH.test(only) ? imported(only) : only;
}

/** LeRobot's: <step>/pretrained_model, checkpoints/<step>/pretrained_model, and `last`, a link to one of them. */
function folders(path: string): string[] {
  const below = (dir: string): string[] =>
    existsSync(dir) && statSync(dir).isDirectory() ? readdirSync(dir).map((name) => join(dir, name)) : [];
  return [path, ...below(path), ...below(join(path, 'checkpoints'))]
    .map((dir) => join(dir, 'pretrained_model'))
    .filter((dir) => existsSync(join(dir, 'config.json')) || isAdapter(dir));
}

/** diffusion_policy's checkpoints/*.ckpt, TD-MPC2's models/*.pt, and what lies in the folder itself. */
function files(path: string): string[] {
  return [path, join(path, 'checkpoints'), join(path, 'models')]
    .filter((dir) => existsSync(dir) && statSync(dir).isDirectory())
    .flatMap((dir) => readdirSync(dir).map((name) => join(dir, name)))
    .filter((file) => TORCH.test(file) && statSync(file).isFile());
}

/** Each place once, whatever links lead to it. */
function distinct(paths: readonly string[]): string[] {
  const seen = new Map<string, string>();
  for (const path of paths) {
    const real = realpathSync(path);
    if (!seen.has(real)) seen.set(real, path);
  }
  return [...seen.values()].sort();
}

/** A folder made of a training's own file, kept by the hash of the file and of the configuration found beside it. */
function imported(file: string): string {
  const converted = convert(file);
  const config = createHash('sha256').update(JSON.stringify(converted.config)).digest('hex');
  const dir = cached('imported', `${fileHash(file)} ${config}`, (to) => writeCheckpoint(to, converted));
  process.emitWarning(`${file} is a training's own file; it was imported to ${dir}`, 'TendonWarning');
  return dir;
}
