// What the schema of a robot file says, for editors (launch/robot.schema.json) and for people (docs/robot-file.md). Both are
// written by `npm run schema`.

import * as z from 'zod';
import { robotFileSchema } from './schema.js';

/** Draft 2020-12, of the file as a person writes it. */
export function robotFileJsonSchema(): object {
  const { $schema, ...schema } = z.toJSONSchema(robotFileSchema, { io: 'input', unrepresentable: 'any' });
  return { $schema, title: 'Tendon robot file', ...schema };
}

interface Node {
  readonly $ref?: string;
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly required?: readonly string[];
  readonly $defs?: Readonly<Record<string, Node>>;
}

/** The fields of a robot file as a page of Markdown. */
export function robotFilePage(): string {
  const root = robotFileJsonSchema() as Node;
  const rows: string[] = [];
  walk(root, root, '', rows);
  return `# The robot file, field by field

Written by \`npm run schema\` from \`src/robot/schema.ts\`; do not edit. \`launch/sim-arm.yaml\` is a complete example, and
\`docs/deploy.md\` says which fields a robot needs first. \`NAME\` stands for a name that you choose, \`[]\` for the entries of
a list. Without a default, a field may be left out unless it says **required**.

| field | value | default | meaning |
|---|---|---|---|
${rows.join('\n')}
`;
}

function walk(root: Node, given: Node, path: string, rows: string[]): void {
  const node = resolved(root, given);
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    if (key === '$schema') continue;
    const inner = resolved(root, child);
    const at = path === '' ? key : `${path}.${key}`;
    const needed = node.required?.includes(key) === true ? '**required**' : '';
    const otherwise = inner.default === undefined ? needed : `\`${JSON.stringify(inner.default)}\``;
    rows.push(
      `| \`${at}\` | ${cell(kindOf(root, inner))} | ${cell(otherwise)} | ${cell(inner.description ?? '')} |`,
    );
    into(root, inner, at, rows);
  }
}

/** The fields below a node: of a record, of a list's entries, of each alternative. */
function into(root: Node, node: Node, at: string, rows: string[]): void {
  walk(root, node, at, rows);
  if (typeof node.additionalProperties === 'object')
    inside(root, node.additionalProperties, `${at}.NAME`, rows);
  if (node.items !== undefined) inside(root, node.items, `${at}[]`, rows);
  for (const one of node.anyOf ?? node.oneOf ?? []) inside(root, one, at, rows);
}

function inside(root: Node, given: Node, at: string, rows: string[]): void {
  into(root, resolved(root, given), at, rows);
}

function resolved(root: Node, node: Node): Node {
  const ref = node.$ref?.replace('#/$defs/', '');
  return ref === undefined ? node : { ...root.$defs?.[ref], ...node };
}

function kindOf(root: Node, given: Node): string {
  const node = resolved(root, given);
  if (node.enum !== undefined) return node.enum.map((one) => `\`${one}\``).join(', ');
  if (node.const !== undefined) return `\`${node.const}\``;
  const choices = node.anyOf ?? node.oneOf;
  if (choices !== undefined) return [...new Set(choices.map((one) => kindOf(root, one)))].join(' or ');
  if (node.type === 'array') return node.items === undefined ? 'list' : `list of ${kindOf(root, node.items)}`;
  if (node.type === 'object') return 'fields';
  return node.type ?? 'any';
}

const cell = (text: string): string => text.replaceAll('|', '\\|');
