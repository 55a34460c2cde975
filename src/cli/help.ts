/**
 * The help: what there is, and how one command is used.
 */
import { type Argument, type Command, commonOptions, type Option, type Options, type Registry } from './command.ts';

export function overview(commands: Registry): string {
  const names = shown(commands);
  const rows = names.map((name) => [name, commands[name].summary]);
  return `usage: skiff COMMAND [OPTION]…\n\n${table(rows)}\nskiff COMMAND --help tells more about one, with examples.\n`;
}

/** What is not hidden. */
export function shown(commands: Registry): string[] {
  return Object.keys(commands).filter((name) => !commands[name].hidden);
}

/** The commands of a group, such as `link`. */
export function groupHelp(commands: Registry, group: string): string {
  const names = Object.keys(commands).filter((name) => name.startsWith(`${group} `));
  return `usage: skiff ${group} COMMAND [OPTION]…\n\n${table(names.map((name) => [name, commands[name].summary]))}`;
}

export function helpFor(name: string, command: Command): string {
  const sections = [`usage: ${usage(name, command)}`, command.description, ''];
  const { arguments: declared = [], examples } = command;
  if (declared.length) sections.push(table(declared.map((argument) => [argument.name, describe(argument)])));
  const options = Object.entries(allOptions(command));
  sections.push(table(options.map(([option, definition]) => [label(option, definition), describe(definition)])));
  if (examples.length) {
    sections.push('examples:', '', examples.map((each) => `  # ${each.for}\n  ${each.command}\n`).join('\n'));
  }
  const [head, description, ...rest] = sections;
  return [head, '', description, ...rest].join('\n');
}

export function allOptions(command: Command): Options {
  return { ...command.options, ...commonOptions };
}

/** `skiff listener create NAME PORT [--host HOST] …` */
export function usage(name: string, command: Command): string {
  const words = (command.arguments ?? []).map(({ name: word, optional, many }) => {
    const shown = many ? `${word}…` : word;
    return optional ? `[${shown}]` : shown;
  });
  const own = Object.keys(command.options).length ? ['[OPTION]…'] : [];
  return ['skiff', name, ...words, ...own].join(' ');
}

/** `-o, --output FORMAT` */
export function label(name: string, { short, type, value, multiple }: Option): string {
  const shown = type === 'boolean' ? '' : ` ${value ?? { string: 'TEXT', integer: 'NUMBER', duration: 'TIME' }[type]}`;
  return `${short ? `-${short}, ` : ''}--${name}${shown}${multiple ? ' …' : ''}`;
}

/** Its help, its choices and what it is without a word. */
export function describe({ help, choices, ...rest }: Argument | Option): string {
  const preset = 'default' in rest && rest.default !== false ? rest.default : undefined;
  const shown = typeof preset === 'number' && 'type' in rest && rest.type === 'duration' ? duration(preset) : preset;
  const facts = [...(choices ? [choices.join(', ')] : []), ...(shown === undefined ? [] : [`${shown} if not said`])];
  return facts.length ? `${help} (${facts.join('; ')})` : help;
}

function duration(milliseconds: number): string {
  return milliseconds % 60_000 === 0 ? `${milliseconds / 60_000}m` : `${milliseconds / 1_000}s`;
}

function table(rows: string[][]): string {
  const width = Math.max(...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}\n`).join('');
}
