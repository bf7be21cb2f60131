// Parts beside the policy: a switch for each, a slider for each condition, and what a monitor says of its bound. What is shown is
// what the session last said; a refused change falls back.

import type { OperatorIntent } from '../../types/live.js';
import type { PartStatus } from '../../types/steering.js';
import { byId, figure, setText } from './dom.js';

interface Shown {
  readonly on: HTMLInputElement;
  readonly slider: HTMLInputElement | undefined;
  readonly note: HTMLElement;
}

export class Parts {
  private readonly form = byId('parts');
  private readonly shown = new Map<string, Shown>();

  constructor(private readonly ask: (intent: OperatorIntent) => Promise<boolean>) {
    this.form.addEventListener('submit', (event) => event.preventDefault());
  }

  show(parts: readonly PartStatus[] = []): void {
    this.form.hidden = parts.length === 0;
    const names = parts.map(({ name }) => name);
    if (names.join() !== [...this.shown.keys()].join()) this.build(parts);
    for (const part of parts) {
      const { on, slider, note } = this.shown.get(part.name)!;
      on.checked = part.on;
      if (slider !== undefined && document.activeElement !== slider) slider.value = String(part.value);
      setText(note, said(part));
    }
  }

  private build(parts: readonly PartStatus[]): void {
    this.shown.clear();
    this.form.replaceChildren();
    for (const { name, kind, range } of parts) {
      const label = document.createElement('label');
      label.className = range === undefined ? 'field' : 'field slide';
      const title = document.createElement('span');
      const note = document.createElement('output');
      const on = document.createElement('input');
      on.type = 'checkbox';
      on.setAttribute('aria-label', `${name} (${kind})`);
      on.addEventListener('change', () => void this.ask({ kind: 'part', name, on: on.checked }));
      title.append(on, ` ${name} `, note);
      label.append(title);
      const slider = range === undefined ? undefined : document.createElement('input');
      if (slider !== undefined && range !== undefined) {
        slider.type = 'range';
        [slider.min, slider.max] = [String(range[0]), String(range[1])];
        slider.step = String((range[1] - range[0]) / 100);
        slider.setAttribute('aria-label', name);
        slider.addEventListener(
          'input',
          () => void this.ask({ kind: 'condition', name, value: slider.valueAsNumber }),
        );
        label.append(slider);
      }
      this.form.append(label);
      this.shown.set(name, { on, slider, note });
    }
  }
}

function said({ kind, value, bound, unit = '', skipped, why }: PartStatus): string {
  const missed = skipped === 0 ? '' : ` · passed over ${skipped} times: ${why}`;
  if (bound !== undefined && value !== undefined) return `${figure(value)} of ${figure(bound)}${missed}`;
  return `${value === undefined ? kind : `${figure(value)} ${unit}`}${missed}`;
}
