// Small helpers over the DOM, so that the rest of the page reads as what it does.

/** The element with this id; index.html and these scripts are one unit, so a missing one is a bug. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}`);
  return element as T;
}

/** Writes text only when it changed: most of a status is the same as the last. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A colour that base.css names, as it is in the present light or dark scheme. */
export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Calls `listener` now and whenever the scheme changes between light and dark. */
export function onScheme(listener: () => void): void {
  listener();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', listener);
}

/** A line that says what came of an intent, for a few seconds. */
export function toast(text: string): void {
  const host = byId('toasts');
  const line = document.createElement('p');
  line.textContent = text;
  host.append(line);
  while (host.childElementCount > 3) host.firstElementChild?.remove();
  setTimeout(() => line.remove(), 6000);
}

/** Up to three significant figures, thin and without exponents: 0.42, 3.1, 250. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const magnitude = Math.abs(value);
  return value.toFixed(magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2);
}
