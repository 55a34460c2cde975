/**
 * The help: what there is, and how one command is used.
 */
import { type Command, helpOption, type Option } from './command.ts';
import { commands } from './commands.ts';

export function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return ['usage: skiff COMMAND [OPTION]…', '', ...lines, '', 'skiff COMMAND --help tells more about one.', ''].join(
    '\n',
  );
}

export function helpFor({ usage, description, options }: Command): string {
  const rows = Object.entries({ ...options, help: helpOption }).map(([name, option]) => [
    label(name, option),
    option.help,
  ]);
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, help]) => `  ${name.padEnd(width)}  ${help}`);
  return [`usage: ${usage}`, '', description, '', ...lines, ''].join('\n');
}

function label(name: string, { short, value, multiple }: Option): string {
  return `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}${multiple ? ' …' : ''}`;
}
