// From a folder to a policy with its parts: the manifest's places, and what parts are opened with.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { readUserJson } from '../base/json.js';
import { addon, native } from '../native/index.js';
import {
  type Manifest,
  openParts,
  type PartHost,
  parseManifest,
  type Row,
  type ScoreFunction,
} from '../parts/index.js';
import {
  DenoisingPolicy,
  type FlatLoadOptions,
  GoalScorer,
  inNouns,
  type LoadedPolicy,
  type LoadOptions,
  loadPolicy,
} from '../policies/index.js';
// Not the room's index: in a worker, what records would begin to.
import { recordedRows } from '../record/rows.js';
import { TendonError } from '../types/index.js';
import { fileHash, openSafetensors, readTensor } from '../weights/index.js';
import { Judge } from './judge.js';
import { judgeGraph } from './judge-files.js';
import { BesidePolicy } from './part-policy.js';
import { SteeredPolicy } from './steered-policy.js';
import { Returns } from './world-returns.js';

/** The manifest's own file in a policy's folder. */
export const MANIFEST = 'steering.json';

/** Which parts stand beside a policy. */
export interface SteeringOptions {
  /** File of the manifest, instead of the folder's own; false: none, whatever the folder says. */
  readonly parts?: string | false | undefined;
  /** Scores that the program computes, by the names of scorers of the form `function`. */
  readonly functions?: Readonly<Record<string, ScoreFunction>> | undefined;
  /** Where an action leads the tip, metres: for what keeps clear of bodies. */
  readonly tip?: ((action: Row) => Row) | undefined;
  /** Monitors collect scores and never alarm. */
  readonly calibrating?: boolean;
}

/** A policy with or without parts. */
export type SteerablePolicy = LoadedPolicy | SteeredPolicy;

/** The policy of a checkpoint folder with the parts that its manifest lists; the plain policy where there is none. */
export async function loadSteered(
  dir: string,
  given: LoadOptions | FlatLoadOptions = {},
  steering: SteeringOptions = {},
): Promise<SteerablePolicy> {
  const options = inNouns(given);
  const found = findManifest(dir, steering.parts);
  if (found === undefined) return loadPolicy(dir, options);
  return open(dir, found, options, steering, []);
}

interface Found {
  readonly manifest: Manifest;
  /** Folder that its file names are relative to. */
  readonly folder: string;
}

/** Throws `config_invalid` naming each wrong field of a manifest that is there. */
export function findManifest(dir: string, parts?: string | false): Found | undefined {
  if (parts === false) return undefined;
  if (parts !== undefined)
    return { manifest: parseManifest(readUserJson(parts, 'config'), parts), folder: dirname(parts) };
  const own = join(dir, MANIFEST);
  if (existsSync(own)) return { manifest: parseManifest(readUserJson(own, 'config'), own), folder: dir };
  const config = join(dir, 'config.json');
  if (!existsSync(config)) return undefined;
  const { steering } = readUserJson(config, 'config') as { steering?: unknown };
  return steering === undefined
    ? undefined
    : { manifest: parseManifest(steering, `${config}: steering`), folder: dir };
}

async function open(
  dir: string,
  { manifest, folder }: Found,
  options: LoadOptions,
  steering: SteeringOptions,
  above: readonly string[],
): Promise<SteeredPolicy> {
  const policy = await loadPolicy(dir, options);
  const opened: { close(): void }[] = [];
  const close = (): void => {
    for (const part of opened) part.close();
  };
  try {
    const host = hostOf(dir, folder, policy, options, steering, [...above, realpathSync(dir)], opened);
    return await SteeredPolicy.create(policy, manifest, await openParts(manifest, host), close);
  } catch (caught) {
    close();
    policy.close();
    throw caught;
  }
}

function hostOf(
  dir: string,
  folder: string,
  policy: LoadedPolicy,
  options: LoadOptions,
  { functions = {}, tip, calibrating = false }: SteeringOptions,
  above: readonly string[],
  opened: { close(): void }[],
): PartHost {
  const { pool } = policy;
  const at = (name: string): string => (isAbsolute(name) ? name : join(folder, name));
  let fingerprint: string | undefined;
  return {
    spec: policy.spec,
    noise: policy instanceof DenoisingPolicy ? policy.noise_shape : undefined,
    tip,
    get fingerprint() {
      fingerprint ??= fingerprintOf(dir);
      return fingerprint;
    },
    tensors: (file) => {
      const { tensors } = openSafetensors(at(file));
      return Object.fromEntries(
        [...tensors].map(([name, ref]) => [name, { shape: ref.shape, values: readTensor(ref) }]),
      );
    },
    json: (file) => readUserJson(at(file), 'config'),
    normal: (seed, count) => native(() => addon().philoxNormal(seed, 0, 0, count)),
    network: (model, form) => Judge.open(judgeGraph(at(model), form), pool, `${model} (${form})`),
    async policy(model) {
      const chain = [...above];
      const named = at(model);
      if (existsSync(named) && chain.includes(realpathSync(named)))
        throw new TendonError(
          'config_invalid',
          `${named} is a part of itself (${[...chain, realpathSync(named)].join(' → ')}); name another policy`,
          { dir: named },
        );
      // Its own manifest is not asked for: parts of parts would be hard to follow.
      // What holds for every network of a session; its precision and its sampling are its own.
      const { isa, device } = options.compute ?? {};
      const compute = { pool, ...(isa && { isa }), ...(device && { device }) };
      const beside = await BesidePolicy.open(named, { compute, scorer: true });
      opened.push(beside);
      return beside;
    },
    goals: (model) => GoalScorer.open(at(model), { pool }),
    recorded: (file, key) => recordedRows(at(file), key),
    world: (model) => Returns.open(at(model), pool),
    functions,
    calibrating,
  };
}

/** Of the files that hold weights or say what they mean: what was calibrated with others is refused. */
export function fingerprintOf(dir: string): string {
  const files = statSync(dir).isDirectory()
    ? readdirSync(dir)
        .filter((name) => /\.(safetensors|pt|pth|ckpt|pkl|onnx)$/.test(name) || name === 'config.json')
        .sort()
        .map((name) => join(dir, name))
    : [dir];
  const hash = createHash('sha256');
  for (const file of files) hash.update(fileHash(file));
  return hash.digest('hex');
}
