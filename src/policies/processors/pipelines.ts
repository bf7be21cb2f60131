// LeRobot's two pipelines run as they stand, step by step: policy_preprocessor.json on observations, and
// policy_postprocessor.json on actions. What the steps do to one feature is worked out once, when the policy is loaded.

import { TendonError } from '../../types/index.js';
import type { FeatureConfig } from '../checkpoint.js';
import { type Affine, composed, identity, inverted } from './affine.js';
import { normalizer, type Stats } from './normalize.js';
import type { ActionMap, Processing, Relative } from './processing.js';
import { type NormalizeStep, type PictureStep, readSteps, type Step } from './steps.js';
import { noteStill } from './still.js';

export const PREPROCESSOR = 'policy_preprocessor.json';
export const POSTPROCESSOR = 'policy_postprocessor.json';
/** The state that relative actions are relative to (relative_action_processor.py reads no other). */
const STATE = 'observation.state';

export class Pipelines implements Processing {
  readonly rename: Readonly<Record<string, string>>;
  readonly pictures?: PictureStep;
  private readonly pre: readonly Step[];
  private readonly post: readonly Step[];

  constructor(
    private readonly dir: string,
    private readonly config: FeatureConfig,
    private readonly isRaw: (key: string) => boolean,
    [pre, post]: readonly [string, string] = [PREPROCESSOR, POSTPROCESSOR],
  ) {
    this.pre = readSteps(dir, pre);
    this.post = readSteps(dir, post);
    this.rename = this.pre.reduce(
      (map, step) => (step.kind === 'rename' ? renamedTwice(map, step.map) : map),
      {} as Record<string, string>,
    );
    const pictures = this.pre.findIndex((step) => step.kind === 'pictures');
    if (pictures >= 0) this.pictures = this.picturesAt(pictures);
  }

  input(key: string, length: number): Affine {
    return this.isRaw(key) ? identity(length) : this.through(this.pre, key, length);
  }

  action(dim: number): ActionMap {
    const motors = this.post.find((step) => step.kind === 'motors');
    if (motors?.kind === 'motors' && motors.names.length !== dim)
      throw new TendonError(
        'config_invalid',
        `${this.dir}/${POSTPROCESSOR}: motor_names: expected ${dim} names, as the action has numbers in config.json, got ${motors.names.length}: ${motors.names.join(', ')}`,
        { dir: this.dir },
      );
    const at = this.post.findIndex((step) => step.kind === 'absolute' && step.enabled);
    const [before, after] = at < 0 ? [this.post, []] : [this.post.slice(0, at), this.post.slice(at + 1)];
    if (after.some((step) => step.kind === 'absolute' && step.enabled))
      throw new TendonError(
        'unsupported',
        `${this.dir}/${POSTPROCESSOR}: the state is added to the action twice`,
      );
    const affine = this.outward(before, dim);
    if (!this.post.some((step) => step.kind === 'normalize')) this.noteBare();
    if (at < 0) return { affine };
    return { affine, relative: this.relativeTo(dim), after: this.outward(after, dim) };
  }

  stats(key: string): Stats | undefined {
    const steps = [...this.post, ...this.pre];
    for (const step of steps) if (step.kind === 'normalize' && step.stats[key]) return step.stats[key];
    return undefined;
  }

  /** The map of `steps` from whatever the robot calls the observation to `key`, as it is called after them. */
  private through(steps: readonly Step[], key: string, length: number): Affine {
    let name = key;
    let map = identity(length);
    for (const step of [...steps].reverse())
      if (step.kind === 'rename') name = nameBefore(step.map, name);
      else if (step.kind === 'normalize' && this.touches(step, name)) {
        const affine = this.normalised(step, name, length);
        map = composed(step.inverse ? inverted(affine) : affine, map);
      }
    return map;
  }

  private outward(steps: readonly Step[], dim: number): Affine {
    let map = identity(dim);
    for (const step of steps)
      if (step.kind === 'normalize' && !this.isRaw('action')) {
        const affine = this.normalised(step, 'action', dim);
        map = composed(step.inverse ? affine : inverted(affine), map);
      }
    return map;
  }

  /** An observation is normalised by a step that lists it, and only while it is called that. */
  private touches(step: NormalizeStep, name: string): boolean {
    if (step.keys !== undefined && !step.keys.includes(name)) return false;
    if (step.features === undefined) return true;
    return Object.hasOwn(step.features, name) && step.features[name]!.type !== 'ACTION';
  }

  private normalised(step: NormalizeStep, name: string, length: number): Affine {
    const { input_features, output_features, normalization_mapping } = this.config;
    const config = { ...input_features, ...output_features }[name]?.type;
    const type = name === 'action' ? 'ACTION' : (step.features?.[name]?.type ?? config);
    const modes = step.norm_map ?? normalization_mapping;
    const mode = type === undefined ? 'IDENTITY' : (modes[type] ?? 'IDENTITY');
    if (mode === 'IDENTITY') return identity(length);
    const stats = step.stats[name];
    if (stats === undefined) throw this.missing(step, name, mode);
    const affine = normalizer(name, mode, stats, length, 'current', step.eps);
    if (!step.inverse) noteStill(this.dir, name, type!, mode, stats);
    return affine;
  }

  private missing(step: NormalizeStep, name: string, mode: string): TendonError {
    const there = Object.keys(step.stats);
    return new TendonError(
      'weights_mismatch',
      `${step.where}: ${name} is normalised by ${mode}, and its statistics are missing: looked for ${name}.* in ${step.state_path ?? 'no file, as the step names no state_file'}${there.length === 0 ? '' : `, which has those of ${there.join(', ')}`}. Save the processor with the statistics of its dataset; if the numbers are raw, say so with raw (--raw ${name})`,
      { key: name, mode, path: step.state_path },
    );
  }

  /** What the preprocessor's relative step keeps of the state, for the postprocessor's absolute one to add. */
  private relativeTo(dim: number): Relative {
    const at = this.pre.findIndex((step) => step.kind === 'relative');
    const step = this.pre[at];
    if (step?.kind !== 'relative')
      throw new TendonError(
        'config_invalid',
        `${this.dir}/${POSTPROCESSOR}: absolute_actions_processor adds the state that relative_actions_processor keeps, and ${PREPROCESSOR} has no such step`,
        { dir: this.dir },
      );
    const key = this.pre
      .slice(at)
      .reduce((name, s) => (s.kind === 'rename' && Object.hasOwn(s.map, name) ? s.map[name]! : name), STATE);
    const length = this.config.input_features[key]?.shape[0];
    if (length === undefined || length < dim)
      throw new TendonError(
        'config_invalid',
        `${this.dir}: actions are relative to ${key}, which should be an input feature with at least the ${dim} numbers of an action, got ${length ?? 'none'}`,
        { key },
      );
    return { key, state: this.through(this.pre.slice(0, at), STATE, length), share: step.share(dim) };
  }

  private picturesAt(at: number): PictureStep {
    const step = this.pre[at] as PictureStep;
    const after = this.pre
      .slice(at + 1)
      .some((s) => s.kind === 'pictures' || (s.kind === 'rename' && moves(s)));
    const before = this.pre.slice(0, at).some((s) => s.kind === 'normalize');
    if (after || before)
      throw new TendonError(
        'unsupported',
        `${step.where}: pictures are cut and sized once, under the policy's own keys and before they are normalised; this pipeline has ${before ? 'a normaliser before' : 'another such step, or a renaming one, after'} it`,
        { where: step.where },
      );
    return step;
  }

  /** The peer does the same, so this is no error; it is also what a lost step looks like. */
  private noteBare(): void {
    const mode = this.config.normalization_mapping.ACTION ?? 'IDENTITY';
    if (mode !== 'IDENTITY' && !this.isRaw('action'))
      process.emitWarning(
        `${this.dir}/${POSTPROCESSOR} has no unnormalizer_processor, so actions leave as the network gives them, although config.json says ACTION ${mode}`,
        'TendonWarning',
      );
  }
}

const moves = ({ map }: { readonly map: Readonly<Record<string, string>> }): boolean =>
  Object.entries(map).some(([from, to]) => from !== to);

/** One rename after the other, each of all keys at once (so two may change places). */
function renamedTwice(
  first: Readonly<Record<string, string>>,
  then: Readonly<Record<string, string>>,
): Record<string, string> {
  const at = (key: string): string => (Object.hasOwn(then, key) ? then[key]! : key);
  return { ...then, ...Object.fromEntries(Object.entries(first).map(([key, to]) => [key, at(to)])) };
}

/** The key that becomes `name`; the name itself when none does. */
const nameBefore = (map: Readonly<Record<string, string>>, name: string): string =>
  Object.entries(map).find(([, to]) => to === name)?.[0] ?? name;
