import { type Check, checkAll, type Verdict } from './checks.ts';
import { command, outputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, printDocuments } from './output.ts';
import { type Colour, paint, printable } from './style.ts';

const colours: Record<Verdict, Colour> = { ok: 'green', warning: 'yellow', failed: 'red' };

export const debugCheck = command({
  description: `Looks at every layer, from the clock and the disk to the peers and their certificates: what it is, whether it is
good, and how to mend it. Exits with 1 when something failed; warnings do not count.`,
  options: { output: outputOption },
  examples: [
    { for: 'what is wrong here?', command: 'skiff debug check' },
    {
      for: 'only what failed, for a program',
      command: `skiff debug check -o json | jq '.[] | select(.verdict == "failed")'`,
    },
  ],
  async run({ output, data }) {
    const checks = await checkAll(dataDirectory(data));
    if (output === 'table') print(checks.map(lines).join(''));
    else await printDocuments(checks, output);
    if (checks.some(({ verdict }) => verdict === 'failed')) process.exitCode = 1;
  },
});

function lines({ check, verdict, message, hint }: Check): string {
  const shown = paint(process.stdout, colours[verdict], verdict.padEnd(8));
  return `${shown}${printable(check)}: ${printable(message)}\n${hint ? `        → ${printable(hint)}\n` : ''}`;
}
