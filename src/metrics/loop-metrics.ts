// What a running controller, its bridge and its executor count, as Prometheus reads it. It listens to what they
// publish anyway and reads their counters when asked; the control loop does nothing for it.

import type { Controller } from '../control/index.js';
import { type Clock, CONTROL_STATES, type ExecutorStats, NS_PER_S, type Robot } from '../types/index.js';
import { type Counts, Measures, type Row, rows } from './measures.js';

type BridgeCounters = Readonly<
  Record<
    | 'opened'
    | 'dropped_offline'
    | 'dropped_backlog'
    | 'malformed'
    | 'silent'
    | 'unread'
    | 'threads_lost'
    | 'dropped_expired'
    | 'overtaken',
    number
  >
>;

/** What is counted of a robot behind a bridge (RosbridgeRobot has it all). */
export interface CountedRobot extends Pick<Robot, 'latest'> {
  /** Commands that were not sent, by cause. */
  readonly drops: Readonly<object>;
  streamCounters(): Readonly<Record<string, Readonly<object>>>;
  readonly client: {
    counters(): BridgeCounters;
    /** Times a compression was given up because nothing came by it. */
    readonly cbor_fallbacks: number;
    onRoundTrip(listener: (ms: number) => void): () => void;
  };
}

export interface LoopMetricsOptions {
  readonly controller: Controller;
  readonly robot: CountedRobot;
  readonly clock: Pick<Clock, 'now_ns'>;
  readonly rate_hz: number;
  /** When commands are the real-time thread's. */
  readonly executor?: (() => ExecutorStats) | undefined;
}

/** Upper bounds in s: a tick's lateness, an answer of the bridge, an inference. */
const LATE_S = [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1];
const ROUND_TRIP_S = [100e-6, 250e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.25, 0.5, 1];
const INFERENCE_S = [0.5e-3, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 35e-3, 50e-3, 75e-3, 0.1, 0.2, 0.5, 1, 2];
/** The loop's rings hold 4 s at 1 kHz. */
const DRAIN_MS = 1000;

/** Counters of a running session as Prometheus metrics. */
export class LoopMetrics {
  readonly content_type: string;
  private readonly measures = new Measures();
  private readonly timer: NodeJS.Timeout;
  private readonly endings: (() => void)[] = [];
  private readonly drain: () => void;
  private rate_hz = 0;

  constructor(options: LoopMetricsOptions) {
    this.content_type = this.measures.content_type;
    this.drain = this.describeLoop(options);
    this.describeInference(options);
    this.describeSupervisor(options);
    this.describeBridge(options);
    if (options.executor !== undefined) this.describeExecutor(options.executor);
    let [before, before_ns] = [options.controller.stats.ticks, options.clock.now_ns()];
    this.timer = setInterval(() => {
      this.drain();
      const [ticks, now_ns] = [options.controller.stats.ticks, options.clock.now_ns()];
      this.rate_hz = ((ticks - before) * NS_PER_S) / Math.max(1, now_ns - before_ns);
      [before, before_ns] = [ticks, now_ns];
    }, DRAIN_MS);
    this.timer.unref();
  }

  /** Everything, in Prometheus' text format. */
  text(): Promise<string> {
    this.drain();
    return this.measures.text();
  }

  close(): void {
    clearInterval(this.timer);
    for (const end of this.endings) end();
  }

  /** Returns the way to move what the loop's rings have since gathered into their histograms. */
  private describeLoop({ controller, rate_hz }: LoopMetricsOptions): () => void {
    const { stats } = controller;
    this.measures.count('tendon_control_ticks_total', 'Control periods that were run.', () => stats.ticks);
    this.measures.count(
      'tendon_control_deadline_misses_total',
      'Control periods that had passed before they could be run.',
      () => stats.deadline_misses,
    );
    this.measures.count(
      'tendon_commands_total',
      'Commands handed to the bridge; none in a dry run.',
      () => stats.commands,
    );
    this.measures.count(
      'tendon_actions_total',
      'Control periods that played a row of a chunk.',
      () => stats.actions,
    );
    this.measures.count(
      'tendon_observation_windows_unfilled_total',
      'Windows for the policy in which a step had no observation within half a period.',
      () => stats.windows_unfilled,
    );
    this.measures.gauge(
      'tendon_control_target_rate_hertz',
      'Control periods per second that the robot file asks for.',
      () => rate_hz,
    );
    this.measures.gauge(
      'tendon_control_rate_hertz',
      'Control periods in the last second.',
      () => this.rate_hz,
    );
    const late = this.measures.histogram(
      'tendon_control_lateness_seconds',
      'How long after its time a control period began.',
      LATE_S,
    );
    const answer = this.measures.histogram(
      'tendon_inference_answer_seconds',
      'From the control loop asking for a chunk to its answer, used or not.',
      INFERENCE_S,
    );
    const [readLate, readAnswers] = [stats.late_us.reader(), stats.infer_ms.reader()];
    return () => {
      for (const us of readLate()) late.observe(us / 1e6);
      for (const ms of readAnswers()) answer.observe(ms / 1e3);
    };
  }

  private describeInference({ controller }: LoopMetricsOptions): void {
    const stages = this.measures.histogram(
      'tendon_inference_stage_seconds',
      'Where the time of each chunk that was accepted went.',
      INFERENCE_S,
      ['stage'],
    );
    this.endings.push(
      controller.onChunk(({ timing }) => {
        for (const stage of ['queue', 'observe', 'denoise', 'total'] as const)
          stages.observe({ stage }, timing[`${stage}_ns`] / NS_PER_S);
      }),
    );
  }

  private describeSupervisor({ controller }: LoopMetricsOptions): void {
    const { supervisor } = controller;
    this.measures.countBy(
      'tendon_interventions_total',
      'Times the supervisor stepped in (docs/safety.md).',
      ['cause'],
      () => rows(supervisor.counts),
    );
    this.measures.gaugeBy(
      'tendon_supervisor_state',
      '1 for the state the supervisor is in, 0 for the others.',
      'state',
      () => Object.fromEntries(CONTROL_STATES.map((name) => [name, Number(name === supervisor.state)])),
    );
    this.measures.countBy(
      'tendon_listener_errors_total',
      'Times somebody who listens to the control loop failed; the loop went on.',
      ['to'],
      () => rows({ supervisor: supervisor.listener_errors, loop: controller.stats.listener_errors }),
    );
  }

  private describeBridge({ robot, clock }: LoopMetricsOptions): void {
    this.measures.countBy(
      'tendon_command_drops_total',
      'Commands that the bridge did not take.',
      ['cause'],
      () => rows(robot.drops as Counts),
    );
    this.measures.countBy(
      'tendon_observation_messages_total',
      'Messages of each observation topic, by what became of them.',
      ['topic', 'outcome'],
      () =>
        Object.entries(robot.streamCounters()).flatMap(([topic, counters]) =>
          rows(counters as Counts).map(([outcome, n]): Row => [[topic, ...outcome], n]),
        ),
    );
    this.measures.countBy(
      'tendon_bridge_frames_dropped_total',
      'Frames that could not be sent or read.',
      ['cause'],
      () => {
        const { dropped_offline, dropped_backlog, dropped_expired, malformed } = robot.client.counters();
        return rows({ dropped_offline, dropped_backlog, dropped_expired, malformed });
      },
    );
    this.measures.countBy(
      'tendon_bridge_cut_off_total',
      'Connections ended from this side: the server was silent or read nothing, or the thread of the socket ended.',
      ['cause'],
      () => {
        const { silent, unread, threads_lost } = robot.client.counters();
        return rows({ silent, unread, thread_lost: threads_lost });
      },
    );
    this.measures.count(
      'tendon_bridge_messages_overtaken_total',
      'Messages of which a newer one came while this process was held up (socket_thread).',
      () => robot.client.counters().overtaken,
    );
    this.measures.count(
      'tendon_bridge_cbor_fallbacks_total',
      'Topics that stayed silent in the compression asked for, and were asked for once more in JSON.',
      () => robot.client.cbor_fallbacks,
    );
    this.measures.count(
      'tendon_bridge_connections_total',
      'Connections opened to the bridge.',
      () => robot.client.counters().opened,
    );
    this.measures.gauge(
      'tendon_observation_age_seconds',
      'Now less the stamp of the newest observation; below zero when its clock is ahead.',
      () => {
        const newest = robot.latest();
        return newest === undefined ? undefined : (clock.now_ns() - newest.stamp_ns) / NS_PER_S;
      },
    );
    const round_trip = this.measures.histogram(
      'tendon_bridge_round_trip_seconds',
      'From a ping to its pong, on every connection to the bridge.',
      ROUND_TRIP_S,
    );
    this.endings.push(robot.client.onRoundTrip((ms) => round_trip.observe(ms / 1e3)));
  }

  private describeExecutor(stats: () => ExecutorStats): void {
    const counts = {
      ticks: 'Periods that the real-time thread ran.',
      missed_ticks: 'Periods that passed while the real-time thread could not run.',
      commands: 'Commands of the real-time thread.',
      limited: 'Commands of the real-time thread that the limits cut.',
      used_up: 'Times the real-time thread held because the chunk was used up.',
      ring_full: 'Commands of the real-time thread that this process did not take in time.',
      heartbeats_lost: 'Times the real-time thread held because the control loop was silent.',
      missed_holds: 'Holds that began later than in the first period in which they were due.',
      unsent: 'Datagrams that the system did not take.',
    } as const;
    for (const [key, help] of Object.entries(counts))
      this.measures.count(`tendon_executor_${key}_total`, help, () => stats()[key as keyof typeof counts]);
    this.measures.gaugeBy(
      'tendon_executor_lateness_seconds',
      'How long after its time a period of the real-time thread began, since it started.',
      'quantile',
      () => {
        const { late_p50_ns, late_p99_ns, late_p999_ns, late_max_ns } = stats();
        return {
          '0.5': late_p50_ns / NS_PER_S,
          '0.99': late_p99_ns / NS_PER_S,
          '0.999': late_p999_ns / NS_PER_S,
          '1': late_max_ns / NS_PER_S,
        };
      },
    );
  }
}
