// The one error that building throws: a code for programs, fields for logs, a sentence for people. A sentence
// says what was expected, where that came from, what arrived and what to try.

/** Every code, with the meaning that help and docs print. */
export const ERROR_CODES = {
  config_invalid: 'a configuration file or option has a wrong or missing field',
  file_missing: 'a file that was named does not exist or cannot be read',
  file_corrupt: 'a file is truncated, malformed or disagrees with itself',
  file_unsafe: 'a file asks for something that is never done, such as running code',
  weights_mismatch: 'tensors in a checkpoint are missing, unused, or of another shape than the config says',
  graph_invalid: 'a network description breaks a rule of the op table',
  unsupported: 'the request is understood, but this version cannot do it',
  input_invalid: 'an observation, goal or noise has a wrong name, length or value',
  native_unavailable: 'the native addon is not built or cannot be loaded',
  bridge_unreachable: 'the rosbridge server cannot be reached',
  bridge_protocol: 'a frame from the bridge breaks the protocol',
  bridge_timeout: 'the bridge did not answer in time',
  hub_failed: 'the Hugging Face Hub cannot be reached, refuses, or lacks what was asked for',
  cancelled: 'the work was cancelled by its caller',
  policy_failed: 'inference returned no usable chunk',
  out_of_resources: 'the system has no memory, thread or socket left for this process',
  internal: 'a bug in Tendon',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * The one error of this package: a code to branch on, fields with values, and a sentence that says what was expected, where
 * that came from, what arrived and what to try.
 */
export class TendonError extends Error {
  override readonly name = 'TendonError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly fields: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The error to show for anything caught: a TendonError as it is, the rest as `internal` with its cause kept. */
export function asTendonError(caught: unknown, context: string): TendonError {
  if (caught instanceof TendonError) return caught;
  const message = caught instanceof Error ? caught.message : String(caught);
  return new TendonError('internal', `${context}: ${message}`, {}, { cause: caught });
}
