// The task in words: a tokenizer beside the checkpoint, and rows of the embedding table read from the file when a task is new
// (the table itself, 1 GB of π0's, is never in memory). Encoded once per text.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { readUserJson } from '../../base/json.js';
import type { TensorRef } from '../../native/index.js';
import { type Observation, TendonError } from '../../types/index.js';
import { ELEMENT_BYTES, fileKey, readTensor } from '../../weights/index.js';
import { tokenizerFolder } from './tokenizer-files.js';

export interface TextOptions {
  /** Tokens that the prefix has room for. */
  readonly length: number;
  /** Which end is cut from a text that is too long, where tokenizer_config.json does not say. */
  readonly truncate: 'left' | 'right';
  /** Factor on each embedding. */
  readonly scale: number;
  /** A text that is cut keeps its last token, which the tokenizer put at its end (CLIP's). */
  readonly keep_end?: boolean;
}

export interface EncodedText {
  /** (1, length, width), zeros behind the text. */
  readonly embeddings: Float32Array;
  /** Tokens of the text. */
  readonly count: number;
  readonly ids: readonly number[];
}

/** Encoded texts that are kept; a text that changes with every state (π0.5) is used once. */
const KEPT = 8;

export class TextEncoder {
  private readonly kept = new Map<string, EncodedText>();

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly table: TensorRef,
    private readonly options: TextOptions,
  ) {}

  /** The tokenizer of tokenizerFolder(places, named, usual), which cuts texts where its own config says, else `options`. */
  static open(
    places: readonly string[],
    named: string | undefined,
    usual: string,
    table: TensorRef,
    options: TextOptions,
  ): TextEncoder {
    const found = tokenizerFolder(places, named, usual);
    const file = join(found, 'tokenizer_config.json');
    const config = (existsSync(file) ? readUserJson(file, 'config') : {}) as { truncation_side?: unknown };
    const side = config.truncation_side;
    const truncate = side === 'left' || side === 'right' ? side : options.truncate;
    const tokenizer = tokenizerOf(found, config);
    return new TextEncoder(tokenizer, table, { ...options, truncate });
  }

  /** Ids, cut to the room there is. */
  ids(text: string): number[] {
    const { length, truncate, keep_end } = this.options;
    const ids = this.tokenizer.encode(text).ids;
    if (keep_end && ids.length > length) return [...ids.slice(0, length - 1), ids.at(-1)!];
    return truncate === 'left' ? ids.slice(-length) : ids.slice(0, length);
  }

  encode(text: string): EncodedText {
    const known = this.kept.get(text);
    if (known !== undefined) return known;
    const ids = this.ids(text);
    const width = this.table.shape[1]!;
    const embeddings = new Float32Array(this.options.length * width);
    ids.forEach((id, i) => {
      const row = this.row(id);
      for (let j = 0; j < width; j++) embeddings[i * width + j] = row[j]! * this.options.scale;
    });
    const encoded = { embeddings, count: ids.length, ids };
    this.kept.set(text, encoded);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value!);
    return encoded;
  }

  private row(id: number): Float32Array {
    const [rows, width] = this.table.shape as [number, number];
    if (!(id >= 0 && id < rows))
      throw new TendonError(
        'weights_mismatch',
        `the tokenizer gives token ${id}, and the embedding table has ${rows} rows: they belong to different models`,
        { id, rows },
      );
    const bytes = width * ELEMENT_BYTES[this.table.dtype]!;
    return readTensor({ ...this.table, shape: [width], offset: this.table.offset + id * bytes });
  }
}

/** The last one that was built: Gemma's takes seconds, and a checkpoint is looked at before it is loaded. */
let built: { readonly key: string; readonly tokenizer: Tokenizer } | undefined;

/** Throws `file_corrupt` for what is no tokenizer. */
function tokenizerOf(folder: string, config: object): Tokenizer {
  const path = join(folder, 'tokenizer.json');
  const key = `${fileKey(path)}\0${JSON.stringify(config)}`;
  if (built?.key === key) return built.tokenizer;
  const json = readUserJson(path, 'tokenizer') as object;
  try {
    built = { key, tokenizer: new Tokenizer(json, config) };
    return built.tokenizer;
  } catch (cause) {
    throw new TendonError(
      'file_corrupt',
      `${path} is no tokenizer that is understood: ${(cause as Error).message}`,
      { path: folder },
      { cause },
    );
  }
}

/** Throws `input_invalid` where there is none. */
export function taskOf({ texts }: Observation, family: string): string {
  const task = texts?.task;
  if (task === undefined)
    throw new TendonError(
      'input_invalid',
      `task: ${family} is told what to do in words; give infer's \`task\`, or a text "task" in the observation`,
    );
  return task;
}

/** The text as SmolVLA and π0 take it: with a newline at its end. */
export const withNewline = (task: string): string => (task.endsWith('\n') ? task : `${task}\n`);

/**
 * π0.5's prompt: the task without underscores and newlines, and the normalised state as bins of 256 over [−1, 1]; −1 and 255
 * stand for what lies beyond (openpi tokenizer.py).
 */
export function statePrompt(task: string, state: ArrayLike<number>): string {
  const cleaned = task.trim().replaceAll('_', ' ').replaceAll('\n', ' ');
  const bins = Array.from(state, (x) => Math.min(Math.floor((x + 1) * 128), 255)).map((bin) =>
    Math.max(bin, -1),
  );
  return `Task: ${cleaned}, State: ${bins.join(' ')};\nAction: `;
}
