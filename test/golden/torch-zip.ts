// Puts numbers into a checkpoint that the golden script took them out of: torch.save's zip from its data.pkl, stored
// entries at offsets of 64 bytes, as torch writes them.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const imported = (name: string): string =>
  fileURLToPath(new URL(`./imports/${name}`, import.meta.url));

/** `values` of each named tensor; storages that are no tensor's hold the bytes they had. */
export function writeTorchZip(path: string, name: string, values: (tensor: string) => Float32Array): void {
  writeFileSync(path, torchZip(name, values));
}

export function torchZip(name: string, values: (tensor: string) => Float32Array): Buffer {
  const storages = JSON.parse(readFileSync(imported(`${name}.json`), 'utf8')) as Record<
    string,
    string | number[]
  >;
  const entries: [string, Buffer][] = [['archive/data.pkl', readFileSync(imported(`${name}.pkl`))]];
  for (const [key, held] of Object.entries(storages)) {
    const numbers = typeof held === 'string' ? values(held) : Uint8Array.from(held);
    entries.push([
      `archive/data/${key}`,
      Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength),
    ]);
  }
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  const push = (part: Buffer): void => {
    parts.push(part);
    at += part.length;
  };
  for (const [entry, body] of entries) {
    const title = Buffer.from(entry);
    const start = at;
    const padding = (64 - ((at + 30 + title.length + 4) % 64)) % 64;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt32LE(body.length, 18);
    local.writeUInt32LE(body.length, 22);
    local.writeUInt16LE(title.length, 26);
    local.writeUInt16LE(4 + padding, 28);
    const extra = Buffer.alloc(4 + padding);
    extra.write('FB', 0, 'latin1');
    extra.writeUInt16LE(padding, 2);
    for (const part of [local, title, extra, body]) push(part);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt32LE(body.length, 20);
    central.writeUInt32LE(body.length, 24);
    central.writeUInt16LE(title.length, 28);
    central.writeUInt32LE(start, 42);
    directory.push(central, title);
  }
  const list = Buffer.concat(directory);
  const start = at;
  push(list);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(start, 16);
  push(end);
  return Buffer.concat(parts);
}
