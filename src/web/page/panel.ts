// State, buttons and menus. What the page shows as chosen is what the controller last said is in force; a choice of
// the operator is shown at once, and falls back when the controller refuses it.

import type { LiveScene, LiveStatus, OperatorIntent, SamplerChoice } from '../../types/live.js';
import { byId, figure, setText, toast } from './dom.js';
import type { Reply } from './link.js';

/** How long a choice that was just made is shown before the status is believed again. */
const PENDING_MS = 1200;
const N_OUTCOMES = 24;

export interface PanelHost {
  send(intent: OperatorIntent): Promise<Reply>;
}

export class Panel {
  private readonly select = {
    task: byId<HTMLSelectElement>('task'),
    driver: byId<HTMLSelectElement>('driver'),
    sampler: byId<HTMLSelectElement>('sampler'),
    precision: byId<HTMLSelectElement>('precision'),
  };
  private readonly slider = {
    steps: byId<HTMLInputElement>('steps'),
    candidates: byId<HTMLInputElement>('candidates'),
    guidance: byId<HTMLInputElement>('guidance'),
  };
  private readonly words = byId<HTMLInputElement>('words');
  private readonly touched_ms = new WeakMap<HTMLElement, number>();
  private paused = false;
  private last: LiveStatus | undefined;

  constructor(private readonly host: PanelHost) {
    byId('menus').addEventListener('submit', (event) => event.preventDefault());
    this.buttons();
    this.menus();
  }

  /** Sends, and says when the answer is no. */
  async ask(intent: OperatorIntent): Promise<boolean> {
    const { accepted, reason } = await this.host.send(intent);
    if (!accepted) toast(`${intent.kind}: ${reason}`);
    return accepted;
  }

  load(scene: LiveScene): void {
    const { menu } = scene;
    fill(this.select.task, scene.tasks, scene.task);
    fill(this.select.driver, menu.drivers);
    fill(this.select.sampler, menu.samplers);
    fill(this.select.precision, menu.precisions);
    this.slider.steps.max = String(menu.max_steps);
    this.slider.candidates.max = String(menu.max_candidates);
    document.body.dataset.simulated = String(scene.simulated);
    setText(byId('reset'), scene.simulated ? 'Reset' : 'Clear stop');
    setText(byId('task-name'), scene.task);
    byId('words-field').hidden = scene.words !== true;
    setText(byId('task-summary'), scene.summary);
    document.title = `${scene.task} · Tendon`;
  }

  show(status: LiveStatus): void {
    const { choice } = status;
    document.body.dataset.state = status.state;
    setText(byId('state'), status.paused ? `${status.state} · paused` : status.state);
    setText(byId('cause'), status.cause);
    const rate =
      status.episodes_done === 0 ? '' : ` · ${Math.round((100 * status.successes) / status.episodes_done)} %`;
    setText(byId('success'), `${status.successes}/${status.episodes_done}${rate}`);
    setText(byId('episode'), String(status.episode));
    setText(byId('mode'), status.mode || '–');
    setText(byId('robot'), status.connected ? 'connected' : 'not connected');
    byId('robot').dataset.ok = String(status.connected);
    setText(byId('ticks'), status.ticks.toLocaleString('en'));
    setText(byId('interventions'), status.interventions.toLocaleString('en'));
    setText(byId('drops'), status.drops.toLocaleString('en'));
    this.paused = status.paused;
    setText(byId('pause'), status.paused ? 'Continue' : 'Pause');
    byId('pause').setAttribute('aria-pressed', String(status.paused));
    this.settle(this.select.driver, status.driver);
    if (document.activeElement !== this.words) this.settle(this.words, status.words ?? '');
    this.settle(this.select.sampler, choice.sampler);
    this.settle(this.select.precision, choice.precision);
    this.settle(this.slider.steps, String(choice.steps));
    this.settle(this.slider.candidates, String(choice.candidates));
    this.settle(this.slider.guidance, String(choice.guidance_scale));
    this.values();
    this.outcome(status);
    this.last = status;
  }

  /** Nothing is heard from the controller, so nothing is known of the robot either. */
  lost(): void {
    setText(byId('robot'), 'not known');
    byId('robot').dataset.ok = 'false';
  }

  private buttons(): void {
    const on = (id: string, intent: () => OperatorIntent) =>
      byId(id).addEventListener('click', () => void this.ask(intent()));
    on('hold', () => ({ kind: 'hold' }));
    on('resume', () => ({ kind: 'resume' }));
    on('stop', () => ({ kind: 'stop' }));
    on('pause', () => ({ kind: 'pause', paused: !this.paused }));
    on('reset', () => {
      const seed = byId<HTMLInputElement>('seed').valueAsNumber;
      return Number.isSafeInteger(seed) && seed >= 0 ? { kind: 'reset', seed } : { kind: 'reset' };
    });
    // Space and escape mean the robot wherever the focus is; Enter still presses the focused button.
    const stopped = (event: KeyboardEvent) => {
      if (event.code !== 'Space' && event.code !== 'Escape') return false;
      // Where a sentence is typed a space is one; escape stops there too.
      if (event.code === 'Space' && event.target === this.words) return false;
      event.preventDefault();
      event.stopPropagation();
      return true;
    };
    addEventListener('keyup', stopped, { capture: true });
    addEventListener(
      'keydown',
      (event) => {
        if (stopped(event) && !event.repeat)
          void this.ask({ kind: event.code === 'Space' ? 'hold' : 'stop' });
      },
      { capture: true },
    );
  }

  private menus(): void {
    const choose = (element: HTMLSelectElement | HTMLInputElement, intent: () => OperatorIntent) => {
      element.addEventListener('input', () => this.touch(element));
      element.addEventListener('change', async () => {
        this.touch(element);
        if (!(await this.ask(intent()))) this.touched_ms.delete(element);
      });
    };
    const part = (choice: Partial<SamplerChoice>): OperatorIntent => ({ kind: 'choose', choice });
    const { select, slider } = this;
    choose(select.task, () => ({ kind: 'task', task: select.task.value }));
    choose(select.driver, () => ({ kind: 'driver', driver: select.driver.value }));
    choose(select.sampler, () => part({ sampler: select.sampler.value }));
    choose(select.precision, () => part({ precision: select.precision.value }));
    // Letters that are typed drive nothing.
    for (const kind of ['keydown', 'keyup'] as const)
      this.words.addEventListener(kind, (event) => event.stopPropagation());
    choose(this.words, () => ({ kind: 'words', text: this.words.value }));
    choose(slider.steps, () => part({ steps: slider.steps.valueAsNumber }));
    choose(slider.candidates, () => part({ candidates: slider.candidates.valueAsNumber }));
    choose(slider.guidance, () => part({ guidance_scale: slider.guidance.valueAsNumber }));
  }

  private touch(element: HTMLElement): void {
    this.touched_ms.set(element, performance.now());
    this.values();
  }

  /** Shows the value in force, unless the operator has just chosen another. */
  private settle(element: HTMLSelectElement | HTMLInputElement, value: string): void {
    if (performance.now() - (this.touched_ms.get(element) ?? Number.NEGATIVE_INFINITY) < PENDING_MS) return;
    if (element.value !== value) element.value = value;
  }

  private values(): void {
    setText(byId('steps-value'), this.slider.steps.value);
    setText(byId('candidates-value'), this.slider.candidates.value);
    setText(byId('guidance-value'), figure(this.slider.guidance.valueAsNumber));
  }

  /** One mark per finished episode, told from how the two counters moved. */
  private outcome(status: LiveStatus): void {
    const { last } = this;
    const host = byId('outcomes');
    if (last === undefined || status.episodes_done < last.episodes_done) {
      host.replaceChildren();
      return;
    }
    const succeeded = status.successes - last.successes;
    for (let i = 0; i < Math.min(status.episodes_done - last.episodes_done, N_OUTCOMES); i++) {
      const mark = document.createElement('li');
      const well = i < succeeded;
      mark.className = well ? 'good' : 'bad';
      mark.title = well ? 'success' : 'failure';
      mark.textContent = mark.title;
      host.append(mark);
    }
    while (host.childElementCount > N_OUTCOMES) host.firstElementChild?.remove();
  }
}

function fill(select: HTMLSelectElement, names: readonly string[], chosen?: string): void {
  const before = chosen ?? select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === before)));
  select.disabled = names.length < 2;
}
