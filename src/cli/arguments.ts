/**
 * argv → the values of a command's options and its arguments, or the one thing that is wrong with it.
 */
import { parseArgs } from 'node:util';
import { type Argument, type Command, commonOptions, type Option, type Options, usageError } from './command.ts';
import { nearest } from './nearest.ts';

export interface ReadArguments {
  values: Record<string, unknown>;
  args: string[];
}

/** parseArgs finds the words; what is said about them is said here. */
export function readArguments(name: string, command: Command, argv: string[]): ReadArguments {
  const options: Options = { ...command.options, ...commonOptions };
  const see = `See skiff ${name} --help`;
  const values = defaults(options);
  const args: string[] = [];
  for (const token of parse(options, argv)) {
    if (token.kind === 'positional') args.push(token.value);
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (!option) {
      const meant = nearest(token.name, Object.keys(options));
      throw usageError(`unknown option "${token.rawName}"`, meant ? `Did you mean --${meant}?` : see);
    }
    const value = readOption(token.rawName, token.name, option, token.value, see);
    if (option.multiple) (values[token.name] as unknown[]).push(value);
    else values[token.name] = value;
  }
  // Whoever asks for help need not have got the rest right.
  if (!values.help) checkArguments(command, args, see);
  return { values, args };
}

function parse(options: Options, args: string[]) {
  const known = Object.entries(options).map(([name, { type, short }]) => [
    name,
    { type: type === 'boolean' ? ('boolean' as const) : ('string' as const), ...(short ? { short } : {}) },
  ]);
  const config = { args, options: Object.fromEntries(known), strict: false, allowPositionals: true, tokens: true };
  return parseArgs({ ...config, tokens: true }).tokens;
}

function defaults(options: Options): Record<string, unknown> {
  const entries = Object.entries(options).map(([name, option]) => [name, option.multiple ? [] : option.default]);
  return Object.fromEntries(entries);
}

function readOption(rawName: string, name: string, option: Option, text: string | undefined, see: string): unknown {
  const label = option.label ?? name.replaceAll('-', ' ');
  if (option.type === 'boolean') {
    if (text === undefined) return true;
    if (text === 'true' || text === 'false') return text === 'true';
    throw usageError(`option ${rawName} takes no value but true or false`, see);
  }
  if (text === undefined) throw usageError(`option ${rawName} needs a value`, see);
  checkChoice(label, option.choices, text);
  switch (option.type) {
    case 'string':
      return text;
    case 'integer':
      return readInteger(label, text);
    case 'duration':
      return readDuration(label, text);
  }
}

function checkChoice(label: string, choices: readonly string[] | undefined, text: string): void {
  if (!choices || choices.includes(text)) return;
  const meant = nearest(text, [...choices]);
  const hint = meant ? `Did you mean ${meant}?` : `Use ${listed(choices)}`;
  throw usageError(`${label} is not valid: value ${text} not allowed`, hint);
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

export function readInteger(label: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw usageError(`${label} is not valid: "${text}" is no whole number`, 'Use digits');
  return Number(text);
}

const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function readDuration(label: string, text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h)?$/.exec(text);
  if (!match)
    throw usageError(`${label} is not valid: "${text}" is no duration`, 'Use seconds, or such as 90s, 3m, 1h');
  return Number(match[1]) * units[match[2] ?? 's'];
}

const counts = ['', 'one argument is', 'two arguments are', 'three arguments are'];

function checkArguments(command: Command, args: string[], see: string): void {
  const declared: readonly Argument[] = command.arguments ?? [];
  const missing = declared.find(({ optional }, index) => !optional && !args[index]);
  if (missing) throw usageError(command.incomplete ?? `${missing.name} is missing`, see);
  if (args.length > declared.length && !declared.at(-1)?.many) {
    const what = declared.length ? `only ${counts[declared.length]} allowed for this command: ` : '';
    throw usageError(`${what}unexpected argument "${args[declared.length]}"`, see);
  }
  for (const [index, text] of args.entries()) {
    const { label, name, choices } = declared[Math.min(index, declared.length - 1)];
    checkChoice(label ?? name.toLowerCase(), choices, text);
  }
}
