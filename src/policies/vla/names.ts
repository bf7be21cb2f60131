// Tensor names of every release that wrote SmolVLA, π0 and π0.5, as LeRobot ≥ 0.5 writes them: one graph reads one set of
// names. Rules are those of LeRobot's own loaders (v0.3.3 _transform_state_dict_keys, v0.4 … _fix_pytorch_state_dict_keys).

/** A tensor's name in today's form. */
export type Names = (name: string) => string;

/** Statistics of LeRobot ≤ 0.3.3 stand beside the model. */
const BESIDE = /^(un)?normalize_(inputs|targets|outputs)\./;

/**
 * openpi's converted files lack `model.`; before transformers 4.52 the language model, the tower and the projector lay one level
 * higher; later releases drop `vision_model` within the tower.
 */
export const piNames =
  (adaptive: boolean): Names =>
  (name) => {
    if (BESIDE.test(name)) return name;
    const [from, to] = adaptive ? ['action_time_mlp_', 'time_mlp_'] : ['time_mlp_', 'action_time_mlp_'];
    const plain = name.replace(/^model\./, '').replace(new RegExp(`^${from}`), to);
    const inside = plain.replace(/^paligemma_with_expert\.paligemma\./, '');
    if (inside === plain) return `model.${plain}`;
    const placed = inside
      .replace(/^model\./, '')
      .replace(/^language_model\.lm_head\./, 'lm_head.')
      .replace(/^language_model\.model\./, 'language_model.')
      .replace(/^vision_tower\.(?!vision_model\.)/, 'vision_tower.vision_model.');
    const level = placed.startsWith('lm_head.') ? '' : 'model.';
    return `model.paligemma_with_expert.paligemma.${level}${placed}`;
  };

/** Some files were saved by the flow model itself, without the policy around it. */
export const smolvlaNames: Names = (name) =>
  BESIDE.test(name) || name.startsWith('model.') ? name : `model.${name}`;
