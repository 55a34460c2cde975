import { version } from '../version.ts';
import { command } from './command.ts';
import { print } from './output.ts';

export const showVersion = command({
  usage: 'skiff version',
  description: 'Shows the version.',
  options: {},
  async run() {
    print(`${version}\n`);
  },
});
