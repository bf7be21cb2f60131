// Nothing leaves: `tendon run --dry-run`. It goes through the same states as the sink that sends.

import { DirectSink } from './direct.js';
import type { SinkTiming } from './gate.js';

/** The way out of a dry run: remembers commands and sends none. */
export class DrySink extends DirectSink {
  override readonly kind = 'dry';
  protected override readonly fate = 'dry';

  constructor(timing: SinkTiming) {
    super({ send: () => true }, timing);
  }
}
