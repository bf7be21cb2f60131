// The transformer of UniZero and ScaleZero (LightZero's transformer.py, moe.py; Pu et al. 2024, 2025): blocks whose
// feed-forward part may be a mixture of experts, run token by token over keys and values that are kept.

import type { GraphBuilder, Value } from '../../native/index.js';
import { causalMask, largest } from '../../networks/index.js';
import { readTensor } from '../../weights/index.js';
import type { Tensors } from '../tensors.js';
import type { ScalezeroConfig } from './config.js';

/** What later tokens attend to, by layer: (rows, tokens so far, heads · width). */
export interface Kept {
  readonly keys: readonly Value[];
  readonly values: readonly Value[];
}

/** Far enough for e to this to be 0, and finite. */
const HIDDEN = -1e9;

export class Transformer {
  private readonly head_dim: number;

  constructor(
    private readonly config: ScalezeroConfig,
    private readonly tensors: Tensors,
    private readonly name: string,
  ) {
    this.head_dim = config.embed_dim / config.num_heads;
  }

  /**
   * Tokens (rows, n, embed_dim), after what is kept, to features of that shape. `valid` (rows, n, 1) is 0 at tokens that
   * nobody may attend to, of a context that is not full yet; absent: all may be.
   */
  run(g: GraphBuilder, tokens: Value, kept: Kept | undefined, valid?: Value): { out: Value; kept: Kept } {
    const n = tokens.shape[1]!;
    // Tokens come in order, so several at once are the first; one alone may attend to everything.
    const mask = n > 1 ? causalMask(g, n) : undefined;
    const keys: Value[] = [];
    const values: Value[] = [];
    let x = tokens;
    for (let i = 0; i < this.config.num_layers; i++) {
      const block = `${this.name}.blocks.${i}.`;
      const normed = this.tensors.layerNorm(g, x, `${block}ln1`);
      const part = (name: string): Value =>
        this.linear(g, normed, `${block}attn.${name}`, this.config.embed_dim);
      const hidden = valid === undefined ? undefined : g.affine(valid, -HIDDEN, HIDDEN);
      const zero = g.constant([0], [1]);
      const q = this.widened(g, part('query'), g.constant([1], [1]));
      keys.push(join(g, kept?.keys[i], this.widened(g, part('key'), hidden ?? zero)));
      values.push(join(g, kept?.values[i], this.widened(g, part('value'), zero)));
      const scale = 1 / Math.sqrt(this.head_dim);
      const mixed = g.attention(q, keys[i]!, values[i]!, this.config.num_heads, mask, scale);
      x = g.add(x, this.linear(g, this.narrowed(g, mixed), `${block}attn.proj`, this.config.embed_dim));
      x = g.add(x, this.feedForward(g, this.tensors.layerNorm(g, x, `${block}ln2`), `${block}feed_forward`));
    }
    return { out: this.tensors.layerNorm(g, x, `${this.name}.ln_f`), kept: { keys, values } };
  }

  /**
   * Every head a number wider: 1 for queries, 0 or HIDDEN for keys, so that a key is hidden by what is computed, where a
   * mask would have to be known beforehand.
   */
  private widened(g: GraphBuilder, x: Value, last: Value): Value {
    const n = x.shape[1]!;
    const { num_heads } = this.config;
    const heads = g.reshape(x, [x.shape[0]!, n, num_heads, this.head_dim]);
    const rows = last.shape.length === 1 ? 1 : last.shape[0]!;
    const column =
      last.shape.length === 1
        ? g.expand(g.reshape(last, [1, 1, 1, 1]), [1, n, num_heads, 1])
        : g.expand(g.reshape(last, [rows, n, 1, 1]), [rows, n, num_heads, 1]);
    return g.reshape(g.concat([heads, column], 3), [x.shape[0]!, n, num_heads * (this.head_dim + 1)]);
  }

  private narrowed(g: GraphBuilder, x: Value): Value {
    const [rows, n] = x.shape as [number, number, number];
    const { num_heads, embed_dim } = this.config;
    const heads = g.reshape(x, [rows, n, num_heads, this.head_dim + 1]);
    return g.reshape(g.slice(heads, 3, 0, this.head_dim), [rows, n, embed_dim]);
  }

  private feedForward(g: GraphBuilder, x: Value, name: string): Value {
    const { embed_dim: D, moe_in_transformer, multiplication_moe_in_transformer } = this.config;
    if (!moe_in_transformer && !multiplication_moe_in_transformer)
      return this.gelu(g, x, name, 'gelu_tanh', 4 * D);
    const { num_experts_of_moe_in_transformer: experts, n_shared_experts } = this.config;
    const shares = this.route(g, x, `${name}.gate`);
    let sum: Value | undefined;
    // Every expert computes for every token and its share, mostly 0, is what counts: which experts a token is sent to is
    // known only while it runs, and the engine's programs are fixed before.
    for (let e = 0; e < experts; e++) {
      const expert = `${name}.experts.${e}`;
      const said = moe_in_transformer
        ? this.gelu(g, x, expert, 'gelu_tanh', 4 * D)
        : this.swiglu(g, x, expert);
      const weighed = g.mul(said, g.slice(shares, 2, e, 1));
      sum = sum === undefined ? weighed : g.add(sum, weighed);
    }
    if (n_shared_experts === 0) return sum!;
    return g.add(sum!, this.gelu(g, x, `${name}.shared_expert`, 'gelu', n_shared_experts * 4 * D, false));
  }

  /** (rows, n, experts): softmax over the largest num_experts_per_tok logits, 0 elsewhere. */
  private route(g: GraphBuilder, x: Value, name: string): Value {
    const { num_experts_of_moe_in_transformer: experts, num_experts_per_tok } = this.config;
    const logits = this.tensors.linear(g, x, name, experts, false);
    let chosen = largest(g, logits);
    for (let k = 1; k < num_experts_per_tok; k++)
      chosen = g.add(chosen, largest(g, g.add(logits, g.affine(chosen, HIDDEN, 0))));
    return g.softmax(g.add(logits, g.affine(chosen, -HIDDEN, HIDDEN)));
  }

  private gelu(
    g: GraphBuilder,
    x: Value,
    name: string,
    activation: 'gelu' | 'gelu_tanh',
    width: number,
    adapted = true,
  ): Value {
    const layer = (v: Value, at: string, out: number): Value =>
      adapted ? this.linear(g, v, at, out) : this.tensors.linear(g, v, at, out);
    return layer(g.unary(activation, layer(x, `${name}.0`, width)), `${name}.2`, this.config.embed_dim);
  }

  private swiglu(g: GraphBuilder, x: Value, name: string): Value {
    const width = 4 * this.config.embed_dim;
    const gate = g.unary('silu', this.linear(g, x, `${name}.w1`, width, false));
    return this.linear(
      g,
      g.mul(gate, this.linear(g, x, `${name}.w3`, width, false)),
      `${name}.w2`,
      this.config.embed_dim,
      false,
    );
  }

  /** A layer with its curriculum's adapters added up: W = α₀W₀ + Σ αⱼ·(alpha/r)·BⱼAⱼ, once, while the model is made. */
  private linear(g: GraphBuilder, x: Value, name: string, out: number, bias = true): Value {
    const { tensors } = this;
    const { lora_r, lora_alpha, curriculum_stage } = this.config;
    const width = x.shape.at(-1)!;
    if (!tensors.has(`${name}.base_weight_scale.logit`) || curriculum_stage === 0)
      return tensors.linear(g, x, name, out, bias);
    const scale = (at: string): number =>
      // Its range and centre are fixed in the peer; the adapters' centre is their initial scale, 1.
      1 + 0.2 * Math.tanh(readTensor(tensors.ref(`${at}.logit`, []))[0]!);
    let w = g.affine(
      tensors.weight(g, `${name}.weight`, [out, width]),
      scale(`${name}.base_weight_scale`),
      0,
    );
    for (let j = 0; j < curriculum_stage && tensors.has(`${name}.adapters.${j}.lora_A`); j++) {
      const a = g.reshape(tensors.weight(g, `${name}.adapters.${j}.lora_A`, [lora_r, width]), [
        1,
        lora_r,
        width,
      ]);
      const b = g.reshape(tensors.weight(g, `${name}.adapters.${j}.lora_B`, [out, lora_r]), [1, out, lora_r]);
      const product = g.reshape(g.matmul(b, a), [out, width]);
      w = g.add(w, g.affine(product, (scale(`${name}.adapter_scales.${j}`) * lora_alpha) / lora_r, 0));
    }
    return g.linear(x, w, bias ? tensors.weight(g, `${name}.bias`, [out]) : undefined);
  }
}

const join = (g: GraphBuilder, before: Value | undefined, now: Value): Value =>
  before === undefined ? now : g.concat([before, now], 1);
