import { expect, test } from 'vitest';
import { Disposer, Emitter, type ListenerFault, onListenerFault } from '../../src/base/index.js';

test('a listener that throws is counted and reported, and keeps nobody else from being told', () => {
  const faults: ListenerFault[] = [];
  const forget = onListenerFault((fault) => faults.push(fault));
  const broken = onListenerFault(() => {
    throw new Error('a report');
  });
  const emitter = new Emitter<number>('numbers');
  const heard: number[] = [];
  const caught = new Error('mine');
  emitter.on(() => {
    throw caught;
  });
  const stop = emitter.on((n) => heard.push(n));
  emitter.emit(1);
  stop();
  emitter.emit(2);
  forget();
  broken();
  emitter.emit(3);
  expect(heard).toEqual([1]);
  expect(emitter.errors).toBe(3);
  expect(faults).toEqual([
    { emitter: 'numbers', caught },
    { emitter: 'numbers', caught },
  ]);
});

test('everything is undone, newest first, once, whatever fails or hangs', async () => {
  const disposer = new Disposer(30);
  const undone: string[] = [];
  disposer.defer('first', () => undone.push('first'));
  disposer.defer('fails', () => {
    throw new Error('no');
  });
  disposer.defer('hangs', () => new Promise(() => undefined));
  disposer.defer('last', async () => undone.push('last'));
  const [failed, again] = await Promise.all([disposer.dispose(), disposer.dispose()]);
  expect(undone).toEqual(['last', 'first']);
  expect(failed.map(({ name }) => name)).toEqual(['hangs', 'fails']);
  expect(again).toBe(failed);
});
