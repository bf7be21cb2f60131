// How a person and a policy share one robot, and what the person's device says.

/**
 * `take_over`: the person alone. `blend`: share·person + (1 − share)·policy. `confidence`: the person's share grows from 0
 * to 1 as the candidates of the chunk in force spread from `low` to `high` (root mean square over joints, in their unit).
 * `steer`: the policy alone, whose next chunks are drawn towards where the person points: over the first `rows` rows with
 * a weight of `strength`.
 */
export type TeleopShare =
  | { readonly kind: 'take_over' }
  | { readonly kind: 'blend'; readonly share: number }
  | { readonly kind: 'confidence'; readonly low: number; readonly high: number }
  | { readonly kind: 'steer'; readonly strength: number; readonly rows: number };

/**
 * What a leader's numbers mean for a follower's joints: `absolute` are targets; `relative` move the target by as much as
 * they moved since the clutch closed; `rate` are speeds that the target follows.
 */
export const LEADER_MODES = ['absolute', 'relative', 'rate'] as const;

/** A leader device in a robot file. */
export interface LeaderFile {
  readonly topic: string;
  readonly type: string;
  readonly mode: (typeof LEADER_MODES)[number];
  /** Factor for each joint. */
  readonly scale: readonly number[];
  /** Numbers nearer to 0 than this count as 0; `rate` only. */
  readonly deadband: number;
  /** For a Twist or a Joy: what moves each joint, such as linear.x, -angular.z or axes.3; null: nothing does. */
  readonly axes?: readonly (string | null)[] | undefined;
  /** Of a JointState: what the leader calls the follower's joints, where it calls them otherwise. */
  readonly joints?: Readonly<Record<string, string>> | undefined;
  /** True while the person drives: a std_msgs/Bool, or a button of a Joy. Without one they drive while messages come. */
  readonly clutch?: { readonly topic: string } | { readonly button: number } | undefined;
  /** The person has let go when the leader is silent for this long. */
  readonly timeout_ms: number;
  readonly share: TeleopShare;
}
