// An MCAP file (mcap.dev/spec) that is safe to lose power over: messages gather in a chunk, and `flush` writes it whole
// and waits for the disk, so what is on disk ends in a whole chunk or in a torn one that readers leave out. Summary and
// index come with `close`. The package's own McapWriter decides by itself when a chunk ends, hence this one.

import { closeSync, fdatasyncSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { McapTypes } from '@mcap/core';
import { packageWhenNeeded } from '../types/index.js';

const mcap = packageWhenNeeded<typeof import('@mcap/core')>('@mcap/core');

export class McapFile {
  private readonly fd: number;
  private position = 0n;
  private readonly records = new (mcap().McapRecordBuilder)();
  private readonly chunk = new (mcap().McapChunkBuilder)({ useMessageIndex: true });
  private readonly schemas: McapTypes.Schema[] = [];
  private readonly channels: McapTypes.Channel[] = [];
  private readonly chunkIndexes: Spill;
  private readonly metadataIndexes: McapTypes.MetadataIndex[] = [];
  private readonly counts = new Map<number, bigint>();
  private first = 0n;
  private last = 0n;

  /** Throws when `path` exists already: a recording is never written over. */
  constructor(path: string) {
    this.fd = openSync(path, 'wx');
    this.chunkIndexes = new Spill(`${path}.${process.pid}.index`);
    this.records.writeMagic();
    this.records.writeHeader({ profile: '', library: 'tendon' });
    this.write();
  }

  /** A channel of JSON messages that follow `schema`; its id. */
  channel(topic: string, schema_name: string, schema: object): number {
    const schema_id = this.schemas.length + 1;
    const data = new TextEncoder().encode(JSON.stringify(schema));
    this.schemas.push({ id: schema_id, name: schema_name, encoding: 'jsonschema', data });
    const id = this.channels.length;
    this.channels.push({ id, schemaId: schema_id, topic, messageEncoding: 'json', metadata: new Map() });
    // Within a chunk, whose checksum keeps a damaged topic from passing for another.
    this.chunk.addSchema(this.schemas.at(-1)!);
    this.chunk.addChannel(this.channels.at(-1)!);
    return id;
  }

  /** JSON with its checksum; written at once. */
  metadata(name: string, json: string): void {
    const metadata = new Map([
      ['json', json],
      ['crc32', String(crc32(json))],
    ]);
    const offset = this.position;
    const length = this.records.writeMetadata({ name, metadata });
    this.metadataIndexes.push({ name, offset, length });
    this.write();
    fdatasyncSync(this.fd);
  }

  /** On disk with the next `flush`. */
  message(channelId: number, sequence: number, logTime: bigint, publishTime: bigint, body: object): void {
    const data = new TextEncoder().encode(JSON.stringify(body));
    this.chunk.addMessage({ channelId, sequence, logTime, publishTime, data });
    if (this.counts.size === 0 || logTime < this.first) this.first = logTime;
    if (logTime > this.last) this.last = logTime;
    this.counts.set(channelId, (this.counts.get(channelId) ?? 0n) + 1n);
  }

  /** Ends the chunk and returns when the disk has it. */
  flush(): void {
    const { chunk, records } = this;
    if (chunk.numMessages === 0) return;
    const chunkStartOffset = this.position;
    const data = chunk.buffer;
    const size = BigInt(data.length);
    const { messageStartTime, messageEndTime } = chunk;
    const times = { messageStartTime, messageEndTime, compression: '', uncompressedSize: size };
    const chunkLength = records.writeChunk({ ...times, uncompressedCrc: crc32(data), records: data });
    const messageIndexOffsets = new Map<number, bigint>();
    let messageIndexLength = 0n;
    for (const index of chunk.indices) {
      messageIndexOffsets.set(index.channelId, chunkStartOffset + chunkLength + messageIndexLength);
      messageIndexLength += records.writeMessageIndex(index);
    }
    const place = { chunkStartOffset, chunkLength, messageIndexOffsets, messageIndexLength };
    chunk.reset();
    this.write();
    records.writeChunkIndex({ ...times, ...place, compressedSize: size });
    this.chunkIndexes.add(records.buffer);
    records.reset();
    fdatasyncSync(this.fd);
  }

  /** Writes the index that makes a file quick to open. */
  close(): void {
    this.flush();
    const { records } = this;
    records.writeDataEnd({ dataSectionCrc: 0 });
    this.write();
    const summaryStart = this.position;
    const { Opcode } = mcap();
    const groups: McapTypes.SummaryOffset[] = [];
    const group = (groupOpcode: number, write: () => void): void => {
      const groupStart = this.position;
      write();
      this.write();
      if (this.position > groupStart)
        groups.push({ groupOpcode, groupStart, groupLength: this.position - groupStart });
    };
    group(Opcode.SCHEMA, () => this.schemas.forEach((schema) => void records.writeSchema(schema)));
    group(Opcode.CHANNEL, () => this.channels.forEach((channel) => void records.writeChannel(channel)));
    group(Opcode.STATISTICS, () => void records.writeStatistics(this.statistics()));
    group(Opcode.METADATA_INDEX, () =>
      this.metadataIndexes.forEach((index) => void records.writeMetadataIndex(index)),
    );
    group(Opcode.CHUNK_INDEX, () => this.chunkIndexes.drain((bytes) => this.put(bytes)));
    const summaryOffsetStart = this.position;
    for (const one of groups) records.writeSummaryOffset(one);
    records.writeFooter({ summaryStart, summaryOffsetStart, summaryCrc: 0 });
    records.writeMagic();
    this.write();
    fdatasyncSync(this.fd);
    closeSync(this.fd);
  }

  private statistics(): McapTypes.Statistics {
    return {
      messageCount: [...this.counts.values()].reduce((sum, n) => sum + n, 0n),
      schemaCount: this.schemas.length,
      channelCount: this.channels.length,
      attachmentCount: 0,
      metadataCount: this.metadataIndexes.length,
      chunkCount: this.chunkIndexes.count,
      messageStartTime: this.first,
      messageEndTime: this.last,
      channelMessageCounts: this.counts,
    };
  }

  /** Everything built so far, in one go where the system lets it. */
  private write(): void {
    this.put(this.records.buffer);
    this.records.reset();
  }

  private put(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.fd, bytes, done);
    this.position += BigInt(bytes.length);
  }
}

const SPILL_BYTES = 1 << 20;

/**
 * The index of the chunks, which is written last: twenty records a second, kept on disk, in a file without a name, so that
 * memory does not grow with the length of a recording.
 */
class Spill {
  count = 0;
  private readonly fd: number;
  private readonly newest = Buffer.alloc(SPILL_BYTES);
  private filled = 0;
  private spilled = 0;

  constructor(path: string) {
    this.fd = openSync(path, 'wx+');
    unlinkSync(path);
  }

  add(bytes: Uint8Array): void {
    this.count++;
    if (this.filled + bytes.length > SPILL_BYTES) this.spill(this.newest.subarray(0, this.filled));
    this.newest.set(bytes, this.filled);
    this.filled += bytes.length;
  }

  /** Everything that was added, in order; nothing may be added after it. */
  drain(take: (bytes: Uint8Array) => void): void {
    this.spill(this.newest.subarray(0, this.filled));
    for (let at = 0; at < this.spilled; ) {
      const read = readSync(this.fd, this.newest, 0, SPILL_BYTES, at);
      take(this.newest.subarray(0, read));
      at += read;
    }
    closeSync(this.fd);
  }

  private spill(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.fd, bytes, done, bytes.length - done, this.spilled + done);
    this.spilled += bytes.length;
    this.filled = 0;
  }
}
