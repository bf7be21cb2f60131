// A strict reader of Prometheus' text format 0.0.4, for tests: every line is a HELP, a TYPE or a sample, in that order
// and together for each metric; histograms are cumulative and end in +Inf.

export interface Family {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly samples: {
    readonly name: string;
    readonly labels: Record<string, string>;
    readonly value: number;
  }[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? (\\S+)$`);
const SUFFIXES = { counter: [''], gauge: [''], histogram: ['_bucket', '_sum', '_count'] } as const;

/** The families of `text` by name. Throws at the first line that the format does not allow. */
export function parsePrometheus(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, Family>();
  let help: [name: string, text: string] | undefined;
  let current: [name: string, family: Family] | undefined;
  for (const line of text.split('\n')) {
    const wrong = (why: string): never => {
      throw new Error(`${why}: ${line}`);
    };
    if (line === '') continue;
    const described = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(line);
    const typed = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`).exec(line);
    if (described !== null) {
      help = [described[1]!, described[2]!];
    } else if (typed !== null) {
      const name = typed[1]!;
      if (help?.[0] !== name) wrong('a TYPE that follows no HELP of its own');
      if (families.has(name)) wrong('described twice');
      current = [name, { type: typed[2] as Family['type'], help: help![1], samples: [] }];
      families.set(...current);
    } else {
      const found = SAMPLE.exec(line);
      if (found === null || current === undefined) wrong('neither a sample nor a comment with a meaning');
      const [, name = '', inner = '', number = ''] = found!;
      const [family, { type, samples }] = current!;
      if (!SUFFIXES[type].some((suffix) => name === family + suffix)) wrong(`not a sample of ${family}`);
      if (!/^(NaN|[+-]Inf|[-+]?\d+(\.\d+)?(e[-+]?\d+)?)$/.test(number)) wrong('not a number');
      if (type === 'counter' && !(Number(number) >= 0)) wrong('a counter below zero');
      const labels: Record<string, string> = {};
      for (const label of inner.match(new RegExp(LABEL, 'g')) ?? []) {
        const [key = '', quoted = ''] = label.split(/=(.*)/s);
        if (key in labels) wrong('a label twice');
        labels[key] = JSON.parse(quoted);
      }
      if (samples.some((one) => one.name === name && same(one.labels, labels))) wrong('a sample twice');
      samples.push({ name, labels, value: Number(number.replace('Inf', 'Infinity')) });
    }
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family);
  return families;
}

function checkHistogram(name: string, { samples }: Family): void {
  const last = new Map<string, { le: number; value: number }>();
  for (const { name: sample, labels, value } of samples) {
    const { le, ...others } = labels;
    const key = JSON.stringify(others);
    if (sample === `${name}_bucket`) {
      const bound = Number(le?.replace('Inf', 'Infinity'));
      const before = last.get(key);
      if (before !== undefined && !(bound > before.le && value >= before.value))
        throw new Error(`${name}: the buckets of ${key} do not rise at le="${le}"`);
      last.set(key, { le: bound, value });
    } else if (
      sample === `${name}_count` &&
      !(last.get(key)?.le === Infinity && last.get(key)?.value === value)
    )
      throw new Error(`${name}: the count of ${key} is not that of +Inf`);
  }
}

const same = (a: Record<string, string>, b: Record<string, string>): boolean =>
  JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
