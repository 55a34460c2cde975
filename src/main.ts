import { program } from './cli/program.ts';

void program(process.argv.slice(2));
