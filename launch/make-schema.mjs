// Writes what the schema of a robot file (src/robot/schema.ts) says: launch/robot.schema.json for editors and the table of
// docs/robot-file.md for people. `npm run schema` builds and runs it; a test checks that both are up to date.

import { writeFileSync } from 'node:fs';
import { robotFileJsonSchema, robotFilePage } from '../dist/robot/json-schema.js';

const at = (path) => new URL(path, import.meta.url);
writeFileSync(at('robot.schema.json'), `${JSON.stringify(robotFileJsonSchema(), undefined, 2)}\n`);
writeFileSync(at('../docs/robot-file.md'), robotFilePage());
