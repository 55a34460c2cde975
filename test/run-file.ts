/**
 * Runs one test file in this process: `run-file.ts FILE`. Tells the runner over IPC when its tests are done, so that
 * the runner can see a file whose sockets, timers or workers keep the process alive afterwards.
 */
import { pathToFileURL } from 'node:url';

const file = process.argv[2];
const state = globalThis as { UVU_DEFER?: number; UVU_QUEUE?: unknown[]; UVU_INDEX?: number };
// With UVU_DEFER set, `test.run()` only registers; the queue's one group has no name to print.
state.UVU_DEFER = 1;
const { exec } = await import('uvu');
state.UVU_INDEX = 0;
state.UVU_QUEUE?.push([null]);

await import(pathToFileURL(file).href);
await exec();
process.send?.('done');
