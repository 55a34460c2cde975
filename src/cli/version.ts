import { version } from '../version.ts';
import { command } from './command.ts';
import { print } from './output.ts';

export const showVersion = command({
  description: 'Shows the version.',
  options: {},
  examples: [],
  async run() {
    print(`${version}\n`);
  },
});
