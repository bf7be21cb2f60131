// ROS stamps: they arrive as `sec/nanosec` (ROS 2) or `secs/nsecs` (ROS 1).

/** A ROS time, in ROS 2's spelling. */
export interface RosTime {
  readonly sec: number;
  readonly nanosec: number;
}

/** The system's time since 1970 as a stamp; it advances with the monotonic clock and never jumps. */
export function epochStamp(): RosTime {
  const now_ms = performance.timeOrigin + performance.now();
  const sec = Math.floor(now_ms / 1000);
  return { sec, nanosec: Math.min(999_999_999, Math.round((now_ms - sec * 1000) * 1e6)) };
}

/** Either spelling as a RosTime; undefined for anything else and for the zero that unset stamps hold. */
export function readTime(value: unknown): RosTime | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { sec, secs, nanosec, nsecs } = value as Record<string, unknown>;
  const s = Number(sec ?? secs);
  const ns = Number(nanosec ?? nsecs);
  const valid = Number.isSafeInteger(s) && Number.isSafeInteger(ns) && (s !== 0 || ns !== 0);
  return valid ? { sec: s, nanosec: ns } : undefined;
}

/** The stamp in a message's header. */
export function headerTime(msg: Readonly<Record<string, unknown>>): RosTime | undefined {
  const { header } = msg;
  return typeof header === 'object' && header !== null ? readTime(Reflect.get(header, 'stamp')) : undefined;
}
