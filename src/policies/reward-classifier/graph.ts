// LeRobot's reward classifier (modeling_classifier.py): each camera through an image encoder that all share, and for a CNN a
// learned embedding of its positions and a layer of its own; then two layers to the classes.

import { GraphBuilder, type Value } from '../../native/index.js';
import { hubResnet, spatialEmbedding } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { Camera } from '../vision/camera.js';
import { type ClipStyle, clipImage } from '../vision/clip.js';
import type { RewardClassifierConfig } from './config.js';

export interface Judged {
  readonly cameras: readonly Camera[];
  /** Of the encoder's tensors. */
  readonly prefix: string;
  /** Of CLIP's tower; absent: a ResNet. */
  readonly style?: ClipStyle | undefined;
}

/** F (1, 1, scores): the probability of success, or of each class. */
export function classifierGraph(
  config: RewardClassifierConfig,
  { cameras, prefix, style }: Judged,
  tensors: Tensors,
): GraphBuilder {
  const g = new GraphBuilder();
  const seen = cameras.map(({ key, input }) => {
    const frame = g.input(key, [1, ...input], 'observation');
    if (style !== undefined) return clipImage(g, tensors, prefix, style, frame);
    const own = `encoders.${key.replaceAll('.', '_')}.`;
    const map = hubResnet(g, tensors, prefix, frame);
    const places = spatialEmbedding(g, tensors, `${own}1.kernel`, config.image_embedding_pooling_dim, map);
    const latent = tensors.linear(g, places, `${own}3`, config.latent_dim);
    return g.unary('tanh', tensors.layerNorm(g, latent, `${own}4`));
  });
  const hidden = tensors.linear(g, g.concat(seen), 'classifier_head.0', config.hidden_dim);
  const judged = g.unary('relu', tensors.layerNorm(g, hidden, 'classifier_head.2'));
  const logits = tensors.linear(g, judged, 'classifier_head.4', scoresOf(config).length);
  const scores = config.num_classes === 2 ? g.unary('sigmoid', logits) : g.softmax(logits);
  g.output('F', wide(g, scores));
  return g;
}

const wide = (g: GraphBuilder, v: Value): Value => g.reshape(v, [1, 1, v.shape.at(-1)!]);

/** What the numbers are called. */
export const scoresOf = ({ num_classes }: RewardClassifierConfig): string[] =>
  num_classes === 2 ? ['success'] : Array.from({ length: num_classes }, (_, i) => `class ${i}`);
