// Elements and attributes of an XML file, in one pass over its characters. A URDF needs no more than these: no text, no
// entities of its own, no document type. Libraries were weighed: fast-xml-parser takes files that are not well formed
// unless they are parsed twice, expands entities unless told not to, and gives no line numbers; what is left of XML here
// is smaller than what would have to be switched off there.

/** What a visitor sees of an element. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly line: number;
}

/** A fault of the text itself. */
export class XmlFault extends Error {
  constructor(
    message: string,
    readonly line: number,
  ) {
    super(message);
  }
}

/** Elements within elements: far more than any robot, far fewer than the call stack or memory would mind. */
const DEEPEST = 1000;
const NAME = /[A-Za-z_][\w:.-]*/y;
const SPACE = /\s*/y;
const VALUE = /\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y;
const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/**
 * Calls `enter` for every element with the names of those around it, outermost first. Throws `XmlFault`. Time is linear
 * in the length of `text`.
 */
export function readXml(text: string, enter: (element: XmlElement, path: readonly string[]) => void): void {
  const path: string[] = [];
  let line = 1;
  let counted = 0;
  const lineAt = (at: number): number => {
    for (; counted < at; counted++) if (text.charCodeAt(counted) === 10) line++;
    return line;
  };
  const fault = (what: string, at: number): never => {
    throw new XmlFault(what, lineAt(at));
  };
  /** Past the end of `mark`, from `at`. */
  const past = (mark: string, at: number, what: string): number => {
    const found = text.indexOf(mark, at);
    return found < 0 ? fault(`${what} that does not end`, at) : found + mark.length;
  };
  const token = (pattern: RegExp, at: number): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  let roots = 0;
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at)) {
    if (text.startsWith('<!--', at)) at = past('-->', at + 4, 'a comment');
    else if (text.startsWith('<?', at)) at = past('?>', at + 2, 'an instruction');
    else if (text.startsWith('<![CDATA[', at)) at = past(']]>', at + 9, 'a CDATA section');
    else if (text.startsWith('<!', at)) fault('a document type, which is not read', at);
    else if (text.startsWith('</', at)) {
      const name = token(NAME, at + 2)?.[0] ?? '';
      if (path.pop() !== name) fault(`the end of <${name}>, which is not open`, at);
      const end = at + 2 + name.length + token(SPACE, at + 2 + name.length)![0].length;
      if (text[end] !== '>') fault(`no > at the end of </${name}`, at);
      at = end + 1;
    } else at = element(at);
  }
  if (path.length > 0) fault(`<${path.at(-1)}> without an end`, text.length);

  function element(start: number): number {
    const name = token(NAME, start + 1)?.[0] ?? fault('a < without a name', start);
    if (path.length === 0 && roots++ > 0) fault(`a second root, <${name}>`, start);
    if (path.length >= DEEPEST) fault(`more than ${DEEPEST} elements within each other`, start);
    const attributes: Record<string, string> = Object.create(null);
    let at = start + 1 + name.length;
    for (;;) {
      const space = token(SPACE, at)![0].length;
      at += space;
      if (text[at] === '>' || text.startsWith('/>', at)) break;
      const key =
        (space > 0 ? token(NAME, at)?.[0] : undefined) ?? fault(`<${name}> is not well formed`, start);
      const value =
        token(VALUE, at + key.length) ?? fault(`the attribute ${key} of <${name}> has no value`, start);
      if (key in attributes) fault(`the attribute ${key} stands twice in <${name}>`, start);
      attributes[key] = plain(value[1] ?? value[2] ?? '', start);
      at += key.length + value[0].length;
    }
    enter({ name, attributes, line: lineAt(start) }, path);
    if (text[at] === '/') return at + 2;
    path.push(name);
    return at + 1;
  }

  function plain(value: string, at: number): string {
    if (!value.includes('&')) return value;
    return value.replace(/&([^;]{0,8});?/g, (whole, entity: string) =>
      Object.hasOwn(ENTITIES, entity)
        ? ENTITIES[entity]!
        : fault(`the entity ${whole}, which is not read`, at),
    );
  }
}
