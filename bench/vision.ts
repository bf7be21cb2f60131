// The rows `resnet18.b1` and `act.b1`: what a camera costs. One pass of the ResNet18 encoder over a frame of 480 × 640,
// and a whole chunk of ALOHA's ACT with one such camera, ours against onnxruntime-node on the same graph.

import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { addon, GraphBuilder, type Precision } from '../src/native/index.js';
import { resnet } from '../src/networks/index.js';
import { ActConfig } from '../src/policies/act/config.js';
import { actGraph } from '../src/policies/act/graph.js';
import type { Tensors } from '../src/policies/tensors.js';
import { writeOnnx } from '../src/weights/onnx-write.js';
import type { Contest } from './contest.js';
import { randomCheckpoint } from './weights.js';

const CAMERA = 'observation.images.top';
const FRAME = [480, 640, 3] as const;

const ACT = ActConfig.parse({
  n_obs_steps: 1,
  chunk_size: 100,
  n_action_steps: 100,
  input_features: {},
  output_features: {},
  normalization_mapping: {},
  pre_norm: false,
  dim_model: 512,
  n_heads: 8,
  dim_feedforward: 3200,
  feedforward_activation: 'relu',
  n_encoder_layers: 4,
  n_decoder_layers: 1,
  use_vae: true,
  latent_dim: 32,
  temporal_ensemble_coeff: null,
});
const ALOHA_JOINTS = 14;

function encoder(tensors: Tensors): GraphBuilder {
  const g = new GraphBuilder();
  const frame = g.input(CAMERA, [1, ...FRAME], 'observation');
  const net = { backbone: 'resnet18', prefix: '', naming: 'torchvision', group_norm: false } as const;
  g.output('map', resnet(g, tensors, net, frame));
  return g;
}

function act(tensors: Tensors): GraphBuilder {
  const camera = {
    key: CAMERA,
    shape: [3, FRAME[0], FRAME[1]],
    input: FRAME,
    values: new Float32Array(0),
  } as const;
  const dims = { state: ALOHA_JOINTS, environment: 0, action: ALOHA_JOINTS };
  return actGraph(ACT, dims, [camera], tensors, 1);
}

/** By name; opening one writes its random weights into `folder`. */
export function visionContests(folder: string, threads: number): Map<string, () => Promise<Contest>> {
  return new Map(
    Object.entries({ 'resnet18.b1': encoder, 'act.b1': act }).map(([name, describe]) => [
      name,
      () => visionContest(name, join(folder, `${name}.safetensors`), describe, threads),
    ]),
  );
}

async function visionContest(
  name: string,
  file: string,
  describe: (tensors: Tensors) => GraphBuilder,
  threads: number,
): Promise<Contest> {
  const graph = describe(randomCheckpoint(file, describe));
  const peer = await InferenceSession.create(writeOnnx(graph), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    extra: { session: { force_spinning_stop: '1' } },
    graphOptimizationLevel: 'all',
  });
  const pool = new (addon().Pool)({ threads });
  const sessions = await Promise.all(
    (['f32', 'bf16', 'int8'] as Precision[]).map(async (precision) => {
      const model = await addon().compileModel(graph.native, { precision, pool });
      return { precision, session: await model.openSession({ batch: 1 }) };
    }),
  );
  const ports = sessions[0]!.session.inputs;
  const inputs = Object.fromEntries(
    ports.map((p, i) => [
      p.name,
      addon().philoxNormal(
        2,
        i,
        0,
        p.shape.reduce((a, b) => a * b, 1),
      ),
    ]),
  );
  const feed = Object.fromEntries(
    ports.map((p) => [p.name, new Tensor('float32', inputs[p.name]!, [...p.shape])]),
  );
  return {
    name,
    ours: sessions.map(({ precision, session }) => {
      const stages = session.stages();
      return {
        precision,
        flops: stages.reduce((n, s) => n + s.flops, 0),
        bytes: stages.reduce((n, s) => n + s.weight_bytes, 0),
        reads: 1,
        run: () => session.run(inputs),
      };
    }),
    peer: () => peer.run(feed),
    close: () => peer.release(),
  };
}
