// What the parts beside a policy (docs/parts.md) say of one inference, and how they are set while it runs. A chunk carries the
// report, so that the page, the metrics and a recording see the same, and control acts on what it says.

import type { ActionChunk, Observation } from './values.js';

/** What a monitor found in the inference that a chunk answers. */
export interface MonitorReading {
  readonly name: string;
  /** Its accumulated score, and the bound that it alarms from. NaN where nothing could be seen. */
  readonly value: number;
  readonly bound: number;
  /** Inferences of this episode, from 0. */
  readonly step: number;
  readonly alarm: boolean;
}

/** What a guardian let through. `share`: how much of the policy's own action is left beside the baseline's. */
export interface GuardianReading {
  readonly name: string;
  readonly did: 'passed' | 'next' | 'shrink' | 'baseline' | 'residual' | 'hold';
  readonly share: number;
}

/** What the parts beside a policy did in one inference. */
export interface SteeringReport {
  /** By scorer: of each candidate, higher is better; of the whole inference where it looks at no chunk. */
  readonly scores: Readonly<Record<string, readonly number[]>>;
  /** Candidates, best first, as the selector ranked them. */
  readonly order: readonly number[];
  /** A selector or a guardian decided what is played: nobody chooses among the candidates again. */
  readonly ruled: boolean;
  readonly monitors: readonly MonitorReading[];
  readonly guardians: readonly GuardianReading[];
  /** Parts that were passed over in this inference, and why. */
  readonly skipped: Readonly<Record<string, string>>;
  /** What other parts say, such as the subgoal in force. JSON. */
  readonly said?: Readonly<Record<string, unknown>>;
  /** The chunk must not be played; a sentence says why. */
  readonly hold?: string;
  /** Only a person ends that hold. */
  readonly ask_person?: boolean;
}

/** A part as people see it. */
export interface PartStatus {
  readonly name: string;
  readonly kind: string;
  readonly on: boolean;
  /** Times it was passed over since the policy was loaded, and the last reason. */
  readonly skipped: number;
  readonly why: string;
  /** Of a condition: its value, unit and range. Of a monitor: its last value and bound. */
  readonly value?: number;
  readonly bound?: number;
  readonly unit?: string;
  readonly range?: readonly [number, number];
}

/** What decides an inference beside the observation, and may change while it runs: JSON, recorded with every question. */
export interface SteeringSetting {
  /** Parts that are switched off. */
  readonly off: readonly string[];
  /** Conditions by name. */
  readonly values: Readonly<Record<string, number>>;
  /** Candidates that the next inference draws; undefined: as many as the policy draws anyway. */
  readonly candidates?: number | undefined;
}

/** A policy with parts, as control, the page and programs hold it. */
export interface Steered {
  readonly setting: SteeringSetting;
  parts(): readonly PartStatus[];
  /** Switches a part; in force from the next inference. Throws `config_invalid` for a name that is not in the manifest. */
  switchPart(name: string, on: boolean): void;
  /** Sets a condition, within its range. Throws `config_invalid` for what is none, `input_invalid` for NaN. */
  setCondition(name: string, value: number): void;
  /** Exactly this setting for all inferences from now on, as a replay needs it. */
  restore(setting: SteeringSetting): void;
}

/** Whether a policy has parts. */
export const isSteered = (policy: object): policy is Steered => 'switchPart' in policy;

/** One run of a policy, as calibration and memories take it: what was seen and what was answered, inference by inference. */
export interface Experience {
  readonly success: boolean;
  readonly steps: readonly { readonly observation: Observation; readonly chunk: ActionChunk }[];
}
