// Tables in Parquet, by hyparquet-writer: columns of numbers, of text, and of lists of either.

import { type BasicType, parquetWriteBuffer, type SchemaElement } from 'hyparquet-writer';

export type Type = Extract<BasicType, 'INT64' | 'FLOAT' | 'DOUBLE' | 'BOOLEAN' | 'STRING'>;
export type Column = { readonly name: string; readonly data: readonly unknown[] } & (
  | { readonly type: Type; readonly list?: never }
  | { readonly list: Type; readonly type?: never }
);

/** The bytes of a file; `metadata` is kept as text beside the schema. */
export function table(columns: readonly Column[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const pairs = Object.entries(metadata).map(([key, value]) => ({ key, value }));
  const buffer = parquetWriteBuffer({
    columnData: columns.map(({ name, data }) => ({ name, data: data as unknown[] })),
    schema: [{ name: 'schema', num_children: columns.length }, ...columns.flatMap(schemaOf)],
    // An empty list is written with no element type, which arrow-rs refuses.
    ...(pairs.length === 0 ? {} : { kvMetadata: pairs }),
    createdBy: 'tendon',
  });
  return new Uint8Array(buffer);
}

function schemaOf(column: Column): SchemaElement[] {
  const element = (name: string, type: Type): SchemaElement =>
    type === 'STRING'
      ? { name, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' }
      : { name, type, repetition_type: 'OPTIONAL' };
  if (column.list === undefined) return [element(column.name, column.type)];
  return [
    { name: column.name, num_children: 1, converted_type: 'LIST', repetition_type: 'OPTIONAL' },
    { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
    element('element', column.list),
  ];
}
