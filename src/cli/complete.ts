/**
 * Shell completion. The scripts that `skiff completion SHELL` prints know nothing: they hand the words of the line to
 * `skiff complete`, which answers with a candidate a line, so that all three shells offer the same.
 *
 * The last line is a directive: `:file` or `:directory` asks the shell for its own names beside the candidates.
 */
import { ApiClient } from '../api/client.ts';
import { kinds } from '../site/kinds.ts';
import type { Kind } from '../site/resources.ts';
import {
  type Argument,
  type Command,
  type Completion,
  command,
  type Option,
  type Options,
  type Registry,
} from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { allOptions, shown } from './help.ts';
import { print } from './output.ts';

export interface Candidates {
  words: string[];
  directive?: 'file' | 'directory';
}

/** What may stand in place of the last of `line`, the words after `skiff`. */
export async function complete(commands: Registry, line: string[]): Promise<Candidates> {
  const typed = line.at(-1) ?? '';
  // bash takes "=" for a word of its own.
  const before = line.slice(0, -1).filter((word) => word !== '=');
  const found = await candidates(commands, before, typed);
  return { ...found, words: [...new Set(found.words)].filter((word) => word.startsWith(typed)).sort() };
}

async function candidates(commands: Registry, before: string[], typed: string): Promise<Candidates> {
  const names = shown(commands);
  const help = before[0] === 'help' ? 1 : 0;
  const words = before.slice(help);
  const name = [2, 1].map((count) => words.slice(0, count).join(' ')).find((each) => names.includes(each));
  if (name === undefined || (help && !names.some((each) => each.startsWith(`${name} `)))) {
    const next = names.map((each) => each.split(' ')).filter((each) => words.every((word, i) => word === each[i]));
    const options = words.length === 0 ? [...(help ? [] : ['help']), '--help'] : [];
    return { words: [...next.flatMap((each) => each[words.length] ?? []), ...options] };
  }
  return inCommand(await commands[name].load(), words.slice(name.split(' ').length), typed);
}

async function inCommand(definition: Command, words: string[], typed: string): Promise<Candidates> {
  const options = allOptions(definition);
  const { args, data, waiting } = scan(options, words);
  if (waiting) return valuesOf(waiting, data);
  const inline = /^--([\w-]+)=/.exec(typed);
  if (inline && Object.hasOwn(options, inline[1])) {
    const { words: values } = await valuesOf(options[inline[1]], data);
    return { words: values.map((value) => `${inline[0]}${value}`) };
  }
  if (typed.startsWith('-')) return { words: Object.keys(options).map((name) => `--${name}`) };
  const declared: readonly Argument[] = definition.arguments ?? [];
  const last = declared.at(-1);
  const argument = declared[args.length] ?? (last?.many ? last : undefined);
  if (!argument) return { words: Object.keys(options).map((name) => `--${name}`) };
  // `get KIND NAME`: the names are those of that kind.
  const kind = declared[0].completion === 'kind' && args.length > 0 ? kindNamed(args[0]) : undefined;
  return valuesOf(kind ? { ...argument, completion: { kind } } : argument, data);
}

function kindNamed(word: string): Kind | undefined {
  return Object.values(kinds).find(({ names }) => names.includes(word.toLowerCase()))?.kind;
}

/** The arguments so far, and the option whose value is being typed, if one is. */
function scan(options: Options, words: string[]): { args: string[]; data?: string; waiting?: Option } {
  const args: string[] = [];
  let data: string | undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (!word.startsWith('-') || word === '-') {
      args.push(word);
      continue;
    }
    const [name, inline] = word.split('=', 2);
    const entry = Object.entries(options).find(([long, { short }]) => name === `--${long}` || name === `-${short}`);
    if (!entry || entry[1].type === 'boolean') continue;
    const value = inline ?? words[++i];
    if (i >= words.length) return { args, data, waiting: entry[1] };
    if (entry[0] === 'data') data = value;
  }
  return { args, data };
}

async function valuesOf(
  { choices, completion }: { choices?: readonly string[]; completion?: Completion },
  data?: string,
) {
  if (choices) return { words: [...choices] };
  if (completion === 'file' || completion === 'directory') return { words: [], directive: completion };
  if (completion === 'kind') return { words: Object.values(kinds).map(({ names }) => names[0]) };
  return { words: completion ? await documentNames(completion.kind, data) : [] };
}

/** How long somebody who pressed Tab is kept waiting. */
const patienceMs = 500;

/** Of a running site only: a stopped one would have to be opened, and nobody asked for that. */
async function documentNames(kind: string, data: string | undefined): Promise<string[]> {
  const overdue = new Promise<never[]>((resolve) => setTimeout(() => resolve([]), patienceMs).unref());
  const asking = new ApiClient(dataDirectory(data)).list(kind as Kind, { showSecrets: false });
  const names = asking.then((documents) => documents.map(({ metadata }) => metadata.name)).catch(() => []);
  return Promise.race([names, overdue]);
}

/** For the scripts of `skiff completion`. */
export function completeCommand(commands: Registry): Command {
  return command({
    description: 'Prints what the last word of a command line may be completed with.',
    options: {},
    examples: [],
    async run(_, line) {
      const { words, directive } = await complete(commands, line);
      print([...words, `:${directive ?? ''}`].map((word) => `${word}\n`).join(''));
    },
  });
}
