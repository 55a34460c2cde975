import { version } from './version.ts';

if (process.argv[2] === 'version') {
  process.stdout.write(`${version}\n`);
} else {
  process.stderr.write('error: no such command (skiff). Use: skiff version.\n');
  process.exitCode = 2;
}
