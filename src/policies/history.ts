// The last n_obs_steps observations under the policy's own keys, checked as they come in.

import { type Observation, type PolicySpec, TendonError } from '../types/index.js';

export class History {
  private kept: Observation[] = [];

  /**
   * `rename`: an observation key by the policy's key that it stands for (LeRobot's rename_map); `grows`: the first
   * windows are shorter instead of repeating the first observation.
   */
  constructor(
    private readonly spec: PolicySpec,
    private readonly rename: Readonly<Record<string, string>> = {},
    private readonly grows = false,
  ) {}

  clear(): void {
    this.kept = [];
  }

  /**
   * The window to act on, oldest first, n_obs_steps long: an array is taken as it is (where windows grow, without the first
   * observation's repetitions); a single observation joins the
   * ones before, the first being repeated to fill unless windows grow. Throws `input_invalid` when it does not fit the policy.
   */
  take(observation: Observation | readonly Observation[]): readonly Observation[] {
    const n = this.spec.n_obs_steps;
    if (Array.isArray(observation)) {
      const given = observation as readonly Observation[];
      if (this.grows ? given.length < 1 || given.length > n : given.length !== n)
        throw new TendonError(
          'input_invalid',
          `history: expected n_obs_steps = ${n} observations, got ${given.length}`,
        );
      return (this.grows ? begun(given) : given).map((o) => this.check(o));
    }
    const newest = this.check(observation as Observation);
    this.kept.push(newest);
    while (!this.grows && this.kept.length < n) this.kept.unshift(newest);
    this.kept = this.kept.slice(-n);
    return this.kept;
  }

  private check(given: Observation): Observation {
    const observation = renamed(given, this.rename);
    for (const [key, length] of Object.entries(this.spec.observation_dims)) {
      const values = observation.values[key];
      if (values?.length !== length)
        throw new TendonError(
          'input_invalid',
          `${this.spec.family}: expected ${key} of length ${length} (from config.json), got ${values?.length ?? 'nothing'}; check the topics of the robot file`,
          { key, expected: length, got: values?.length },
        );
      for (let i = 0; i < length; i++)
        if (!Number.isFinite(values[i]))
          throw new TendonError(
            'input_invalid',
            `${key}[${i}] is ${values[i]}; an observation must be finite`,
            { key, index: i },
          );
    }
    for (const [key, [channels, height, width]] of Object.entries(this.spec.image_shapes)) {
      const image = observation.images?.[key];
      if (image === undefined && this.spec.optional_images?.includes(key)) continue;
      const larger = this.spec.any_size?.includes(key) === true;
      const fits = (has: number, wanted: number): boolean =>
        this.spec.any_image_size === true || (larger ? has >= wanted : has === wanted);
      if (!image || !fits(image.width, width) || !fits(image.height, height) || image.channels !== channels)
        throw new TendonError(
          'input_invalid',
          `${this.spec.family}: expected ${key} of ${larger ? 'at least ' : ''}${width}×${height} with ${channels} channels (from config.json), got ${image === undefined ? 'none' : `${image.width}×${image.height} with ${image.channels}`}; check the camera topics of the robot file`,
          { key },
        );
      if (image.data.length !== image.width * image.height * channels)
        throw new TendonError('input_invalid', `${key}: ${image.data.length} bytes are no such image`, {
          key,
        });
    }
    return observation;
  }
}

/** The window without the first observation's repetitions, by which others fill the beginning of an episode. */
function begun(window: readonly Observation[]): readonly Observation[] {
  let first = 0;
  while (first + 1 < window.length && window[first] === window[first + 1]) first++;
  return window.slice(first);
}

/** Keys that the map names are renamed all at once; one that comes under its new name already is never replaced. */
function renamed(observation: Observation, map: Readonly<Record<string, string>>): Observation {
  if (Object.keys(map).length === 0) return observation;
  const move = <T>(given: Readonly<Record<string, T>>): Record<string, T> => {
    const moved = { ...given };
    // Unless what comes under that name is renamed itself.
    for (const [from, to] of Object.entries(map))
      if (Object.hasOwn(given, from) && (!Object.hasOwn(given, to) || Object.hasOwn(map, to)))
        moved[to] = given[from] as T;
    return moved;
  };
  const { images, values } = observation;
  return { ...observation, values: move(values), ...(images === undefined ? {} : { images: move(images) }) };
}
