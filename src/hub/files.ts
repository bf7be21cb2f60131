// Which of a repository's files a policy is read from.

/** Folders of what only training, or a person, looks at. */
const ASIDE = /^(training_state|checkpoints|wandb|logs|runs|videos?|images?|\.[^/]*)\//;
const SETTINGS = /\.(json|ya?ml)$/;
/** In the order in which a policy's weights are looked for: the first kind that is there is the one. */
const WEIGHTS = [/\.safetensors$/, /\.onnx(\.data|_data)?$/, /\.(ckpt|pth?|pkl|msgpack)$/];
const TOKENIZER = /^(tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json)$/;

/** Configurations wherever they lie, and the weights of one kind in the repository's own folder. */
export function neededFiles(paths: readonly string[]): string[] {
  const kept = paths.filter((path) => !ASIDE.test(path));
  const top = kept.filter((path) => !path.includes('/'));
  const kind = WEIGHTS.find((weights) => top.some((path) => weights.test(path)));
  return kept.filter(
    (path) => SETTINGS.test(path) || (kind !== undefined && !path.includes('/') && kind.test(path)),
  );
}

/** The files of a tokenizer, in the repository's own folder. */
export function tokenizerFiles(paths: readonly string[]): string[] {
  return paths.filter((path) => TOKENIZER.test(path));
}
