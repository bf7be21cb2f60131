// Networks that judge, from the files that their authors save: which file a name means, and the graph of each form.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GraphBuilder, type Value } from '../native/index.js';
import {
  chunkCritics,
  coinFlips,
  distilled,
  Flax,
  failureLstm,
  failureScore,
  qCritics,
  residualActor,
  squashed,
  squashedActor,
  type Weights,
} from '../networks/index.js';
import { importOnnx } from '../onnx/index.js';
import { Tensors } from '../policies/index.js';
import { TendonError } from '../types/index.js';
import {
  type ArrayFile,
  arrayInFile,
  openJaxPickle,
  openSafetensors,
  openTorch,
  openWeights,
  unwrapped,
  type WeightFile,
} from '../weights/index.js';

export interface JudgeGraph {
  /** Inputs of the step stage, one output of (1, width). */
  readonly graph: GraphBuilder;
  /** The numbers of a chunk count within ± this. */
  readonly chunk_limit?: number;
}

export function judgeGraph(model: string, form: string): JudgeGraph {
  const path = fileOf(model);
  if (path.endsWith('.onnx')) return { graph: importOnnx(path) };
  const file = path.endsWith('.pkl') ? undefined : weightsOf(path);
  const arrays = file === undefined ? openJaxPickle(path) : asFlax(file);
  return arrays === undefined
    ? { graph: fromTensors(file!, form, path) }
    : { graph: fromArrays(arrays, form, path), chunk_limit: QC_LIMIT };
}

/** qc clips whole chunks before its critics. */
const QC_LIMIT = 1;

/** A folder stands for the one network in it. */
function fileOf(model: string): string {
  if (!existsSync(model))
    throw new TendonError(
      'file_missing',
      `${model} does not exist; a scorer's model is a file or folder beside the manifest`,
      {
        path: model,
      },
    );
  if (!statSync(model).isDirectory()) return model;
  const found = readdirSync(model).filter((name) => /\.(onnx|pkl)$/.test(name));
  return found.length === 1 ? join(model, found[0]!) : model;
}

function weightsOf(path: string): WeightFile {
  if (statSync(path).isDirectory()) return openWeights(path);
  return unwrapped(path.endsWith('.safetensors') ? openSafetensors(path) : openTorch(path));
}

/** Flax's arrays that were saved under names with points, as safetensors has them. */
function asFlax({ tensors, path }: WeightFile): ArrayFile | undefined {
  if (![...tensors.keys()].some((name) => name.endsWith('.kernel'))) return undefined;
  const arrays = [...tensors.values()].map((ref) => {
    const name = ref.name.replaceAll('.', '/');
    return [name, arrayInFile({ ...ref, name })] as const;
  });
  return { path, arrays: new Map(arrays) };
}

/** qc's critics: `<path>/modules_critic/value_net/Dense_i`, every array with the ensemble's axis in front. */
function fromArrays(file: ArrayFile, form: string, path: string): GraphBuilder {
  const name = 'value_net/Dense_0/kernel';
  const found = [...file.arrays.keys()].filter((key) => key.endsWith(name));
  // A target critic, where there is one, is what the training trusts.
  const key = found.find((k) => k.includes('target')) ?? found[0];
  if (form !== 'value' || key === undefined) throw unknown(path, form, [...file.arrays.keys()]);
  const net = new Flax(file, key.slice(0, -name.length - 1), new Set());
  const width = net.member(0).at('value_net').width('Dense_0');
  return graphOf((g) => chunkCritics(g, net, g.input('x', [1, width], 'step')));
}

function fromTensors(file: WeightFile, form: string, path: string): GraphBuilder {
  const weights: Weights = new Tensors(file, `part ${form}`);
  const { tensors } = file;
  const width = (name: string): number => tensors.get(`${name}.weight`)?.shape[1] ?? 0;
  const x = (g: GraphBuilder, name: string): Value => g.input('x', [1, width(name)], 'step');
  const prefix = form === 'coin_flip' && tensors.has('cfn.cfn.input_proj.weight') ? 'cfn.' : '';
  if (form === 'coin_flip' && tensors.has(`${prefix}cfn.input_proj.weight`))
    return graphOf((g) => coinFlips(g, weights, x(g, `${prefix}cfn.input_proj`), prefix));
  if (form === 'rnd' && tensors.has('predictor.0.weight'))
    return graphOf((g) => distilled(g, weights, x(g, 'predictor.0')));
  if (form === 'failure' && tensors.has('projector.0.weight'))
    return graphOf((g) => failureScore(g, weights, x(g, 'projector.0')));
  if (form === 'failure' && tensors.has('lstm.weight_ih_l0'))
    return failureStep(weights, tensors.get('lstm.weight_ih_l0')!.shape);
  if (form === 'noise' && tensors.has('actor.latent_pi.0.weight'))
    return graphOf((g) => squashed(g, squashedActor(g, weights, x(g, 'actor.latent_pi.0')), 1));
  if (form === 'residual' && tensors.has('fc_mean.weight'))
    return graphOf((g) => residualActor(g, weights, x(g, 'backbone.0')));
  if (form === 'value' && tensors.has('critic.qf0.0.weight'))
    return graphOf((g) => qCritics(g, weights, x(g, 'critic.qf0.0')));
  throw unknown(path, form, [...tensors.keys()]);
}

/** One step of SAFE's LSTM: x, h, c → score, h, c in one row. */
function failureStep(weights: Weights, [gates, inputs]: readonly number[]): GraphBuilder {
  const n = gates! / 4;
  return graphOf((g) => {
    const input = g.input('x', [1, inputs!], 'step');
    const [h, c] = [g.input('h', [1, n], 'step'), g.input('c', [1, n], 'step')];
    const next = failureLstm(g, weights, input, { h, c });
    return g.concat([next.score, next.h, next.c], 1);
  });
}

function graphOf(describe: (g: GraphBuilder) => Value): GraphBuilder {
  const g = new GraphBuilder();
  g.output('score', g.affine(describe(g), 1, 0));
  return g;
}

function unknown(path: string, form: string, names: readonly string[]): TendonError {
  return new TendonError(
    'unsupported',
    `${path} is no network of the form ${form} that is known (docs/parts.md has the names of each): it has ${names.slice(0, 4).join(', ')} …; export it to ONNX with one output, which every form takes`,
    { path, form },
  );
}
