/**
 * What a command is, and how its arguments are read.
 */
import { parseArgs } from 'node:util';
import { SkiffError } from '../errors.ts';
import { nearest } from './nearest.ts';

export interface Option {
  type: 'string' | 'boolean';
  short?: string;
  multiple?: true;
  /** What the value is called in the help, such as `DIR`. */
  value?: string;
  help: string;
}

export type Options = Record<string, Option>;

export type Values<O extends Options> = {
  [Name in keyof O]?: O[Name] extends { multiple: true }
    ? string[]
    : O[Name] extends { type: 'boolean' }
      ? boolean
      : string;
};

export interface Command<O extends Options = Options> {
  /** One line, from `skiff` on. */
  usage: string;
  /** What it does, for its help. */
  description: string;
  options: O;
  run(values: Values<O>, positionals: string[]): Promise<void>;
}

/** Lets TypeScript see which options the command has. */
export function command<const O extends Options>(definition: Command<O>): Command {
  return definition as unknown as Command;
}

export const dataOption = {
  type: 'string',
  value: 'DIR',
  help: 'the data directory ($SKIFF_DATA, else /var/lib/skiff for root, else ~/.local/share/skiff)',
} as const;

export const outputOption = { type: 'string', short: 'o', value: 'FORMAT', help: 'table, json or yaml' } as const;

export const helpOption = { type: 'boolean', short: 'h', help: 'show this' } as const;

export function usageError(message: string, hint: string): SkiffError {
  return new SkiffError('usage', message, { hint });
}

/** The command's own check of what parseArgs finds, for the sake of its messages. */
export function readArguments(
  name: string,
  { options }: Command,
  args: string[],
): { values: Values<Options>; positionals: string[] } {
  const all: Options = { ...options, help: helpOption };
  const see = `See skiff ${name} --help`;
  const { values, positionals, tokens } = parseArgs({
    args,
    options: all,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(all, token.name) ? all[token.name] : undefined;
    if (!option) {
      const meant = nearest(token.name, Object.keys(all));
      throw usageError(`unknown option "${token.rawName}"`, meant ? `Did you mean --${meant}?` : see);
    }
    if (option.type === 'string' && token.value === undefined) {
      throw usageError(`option ${token.rawName} needs a value`, see);
    }
    if (option.type === 'boolean' && token.value !== undefined) {
      throw usageError(`option ${token.rawName} takes no value`, see);
    }
  }
  return { values: values as Values<Options>, positionals };
}
