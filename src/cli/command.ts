/**
 * What a command is: data, from which its parsing, help, completion and manual page are made.
 */
import { SkiffError } from '../errors.ts';
import type { Kind } from '../site/resources.ts';

/** What a word may be completed with: files, directories, kinds of documents, or the names of those of one kind. */
export type Completion = 'file' | 'directory' | 'kind' | { kind: Kind };

interface Value {
  /** What the help says of it. */
  help: string;
  /** What errors call it, as in `LABEL is not valid: …`; without it, its name. */
  label?: string;
  /** The only values there are. */
  choices?: readonly string[];
  completion?: Completion;
}

export interface Argument extends Value {
  /** As the usage shows it, such as `NAME`. */
  name: string;
  optional?: true;
  /** The last one only: it takes all that follow, too. */
  many?: true;
}

/**
 * `integer` is read as a number, `duration` (`90`, `90s`, `3m`, `1h`) as milliseconds. A boolean is true by its name
 * alone, `=true` and `=false` say it in words.
 */
export interface Option extends Value {
  type: 'string' | 'boolean' | 'integer' | 'duration';
  short?: string;
  multiple?: true;
  /** What the value is called in the help, such as `DIR`. */
  value?: string;
  default?: string | number | boolean;
}

export type Options = Record<string, Option>;

type Read<O extends Option> = O['type'] extends 'boolean'
  ? boolean
  : O['type'] extends 'string'
    ? O extends { choices: readonly (infer Choice)[] }
      ? Choice
      : string
    : number;

/** What the options of a command are read as. */
export type Values<O extends Options> = {
  [Name in keyof O]: O[Name] extends { multiple: true }
    ? Read<O[Name]>[]
    : O[Name] extends { default: unknown }
      ? Read<O[Name]>
      : Read<O[Name]> | undefined;
};

export interface Example {
  /** What one wants, in a few words. */
  for: string;
  /** A line to be typed as it is. */
  command: string;
}

export interface Command<O extends Options = Options> {
  /** What it does, in sentences. */
  description: string;
  arguments?: readonly Argument[];
  /** Said in place of a general sentence when a required argument is missing. */
  incomplete?: string;
  options: O;
  examples: readonly Example[];
  /** `args` are as many as `arguments` allows. */
  run(values: Values<O & typeof commonOptions>, args: string[]): Promise<void>;
}

/** A command that is loaded only when it is called for. */
export interface CommandEntry {
  summary: string;
  load(): Promise<Command>;
  /** Left out of help, completion and manual. */
  hidden?: true;
  /** It takes its words as they are, options among them. */
  raw?: true;
}

/** By name, which is one word or two. */
export type Registry = Record<string, CommandEntry>;

/** Lets TypeScript see which options the command has. */
export function command<const O extends Options>(definition: Command<O>): Command {
  return definition as unknown as Command;
}

/** What every command takes. */
export const commonOptions = {
  data: {
    type: 'string',
    value: 'DIR',
    completion: 'directory',
    help: 'the data directory ($SKIFF_DATA, else /var/lib/skiff for root, else ~/.local/share/skiff)',
  },
  help: { type: 'boolean', short: 'h', help: 'show this', default: false },
} as const satisfies Options;

export const outputOption = {
  type: 'string',
  short: 'o',
  value: 'FORMAT',
  label: 'output type',
  choices: ['table', 'json', 'yaml'],
  default: 'table',
  help: 'how to print it',
} as const satisfies Option;

/** For what has no table. */
export const documentOutputOption = { ...outputOption, choices: ['yaml', 'json'], default: 'yaml' } as const;

export function usageError(message: string, hint: string): SkiffError {
  return new SkiffError('usage', message, { hint });
}
