// What a person sees while a command works for longer than a moment. On stderr, so that stdout stays what was asked for.

/** What is over sooner needs no word. */
const LONG_MS = 2000;

/** Says `what`, with the seconds it takes, from the second second on. Call the result when it is done. */
export function waiting(what: string): () => void {
  const began = performance.now();
  const live = process.stderr.isTTY === true;
  let shown = false;
  const timer = setInterval(() => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    if (seconds < 2) return;
    if (live) process.stderr.write(`\r  ${what} … ${seconds} s `);
    else if (!shown) process.stderr.write(`  ${what} …\n`);
    shown = true;
  }, 1000);
  timer.unref();
  return () => {
    clearInterval(timer);
    if (live && shown) process.stderr.write('\r\u001b[K');
  };
}

/** A line that is written over, for work that can count. Without a terminal, a line for each tenth of what takes long. */
export function counter(total: number | undefined): { at(done: number, note: string): void; end(): void } {
  const live = process.stderr.isTTY === true;
  const began = performance.now();
  let tenths = 0;
  return {
    at(done, note) {
      if (live) {
        const share = total === undefined ? 0 : Math.round((30 * done) / total);
        const bar = total === undefined ? '' : `${'█'.repeat(share).padEnd(30, '░')} `;
        process.stderr.write(`\r  ${bar}${note} `);
      } else if (total !== undefined && Math.floor((10 * done) / total) > tenths) {
        tenths = Math.floor((10 * done) / total);
        if (performance.now() - began > LONG_MS) process.stderr.write(`  ${note}\n`);
      }
    },
    end() {
      if (live) process.stderr.write('\r\u001b[K');
    },
  };
}
