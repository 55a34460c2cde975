/**
 * Which Skiff this is. The build writes both facts into the executable; when run from source the version comes from
 * package.json and the build time is unknown.
 */
import { readFileSync } from 'node:fs';

declare const __SKIFF_VERSION__: string | undefined;
declare const __SKIFF_BUILD_TIME__: number | undefined;

export const version: string =
  typeof __SKIFF_VERSION__ === 'string'
    ? __SKIFF_VERSION__
    : JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;

/**
 * Milliseconds since the epoch: SOURCE_DATE_EPOCH or the date of the commit the executable was built from, so that two
 * builds of one commit are identical. 0 when run from source.
 */
export const buildTime: number = typeof __SKIFF_BUILD_TIME__ === 'number' ? __SKIFF_BUILD_TIME__ : 0;
