// Where this package lies. Sources, what is compiled of them and what is bundled of that all lie two folders below.

import { fileURLToPath } from 'node:url';

/** A file of the package by its path from the root; `''` is the root itself. */
export const packageFile = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
