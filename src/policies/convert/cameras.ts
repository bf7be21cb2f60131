// Cameras of a training that does not store them, as they are written: top=480x640,wrist=480x640.

import { TendonError } from '../../types/index.js';

/** Name of each camera to (height, width), in the order of training. Throws `config_invalid`. */
export function camerasIn(text: string): Record<string, [number, number]> {
  return Object.fromEntries(
    text.split(',').map((part): [string, [number, number]] => {
      const found = /^([\w-]+)=(\d+)x(\d+)$/.exec(part.trim());
      if (found === null)
        throw new TendonError('config_invalid', `--cameras: expected NAME=HEIGHTxWIDTH, got "${part}"`);
      return [found[1]!, [Number(found[2]), Number(found[3])]];
    }),
  );
}
