/**
 * argv → a command that is run, helped with or refused.
 */
import { readArguments } from './arguments.ts';
import { type Command, usageError } from './command.ts';
import { commands } from './commands.ts';
import { fail } from './failure.ts';
import { groupHelp, helpFor, overview } from './help.ts';
import { nearest } from './nearest.ts';
import { print } from './output.ts';

export async function program(argv: string[]): Promise<void> {
  // Everything a site keeps is for its own user's eyes.
  process.umask(0o077);
  try {
    await dispatch(argv);
  } catch (error) {
    fail(error, wantsJson(argv));
  }
}

type Values = Parameters<Command['run']>[0];

async function dispatch(argv: string[]): Promise<void> {
  if (argv.length === 0 || argv[0] === '--help' || argv[0] === '-h') return print(overview(commands));
  if (argv[0] === 'help') return argv.length === 1 ? print(overview(commands)) : dispatch([...argv.slice(1), '--help']);
  if (argv.length === 2 && /^(--help|-h)$/.test(argv[1]) && isGroup(argv[0]))
    return print(groupHelp(commands, argv[0]));
  const [name, rest] = findCommand(argv);
  const command = await commands[name].load();
  if (commands[name].raw) return command.run({} as Values, rest);
  const { values, args } = readArguments(name, command, rest);
  if (values.help) return print(helpFor(name, command));
  await command.run(values as Values, args);
}

function isGroup(word: string): boolean {
  return Object.keys(commands).some((name) => name.startsWith(`${word} `));
}

/** A command's name is one word or two. */
function findCommand(argv: string[]): [string, string[]] {
  for (const words of [2, 1]) {
    const name = argv.slice(0, words).join(' ');
    if (Object.hasOwn(commands, name)) return [name, argv.slice(words)];
  }
  const [first, second = ''] = argv;
  const names = Object.keys(commands);
  const inGroup = names.filter((name) => name.startsWith(`${first} `));
  if (inGroup.length) {
    const what =
      second && !second.startsWith('-') ? `unknown command "${first} ${second}"` : `"${first}" needs a command`;
    const meant = nearest(
      second,
      inGroup.map((name) => name.slice(first.length + 1)),
    );
    const hint = meant
      ? `Did you mean skiff ${first} ${meant}?`
      : `There is ${inGroup.map((name) => `skiff ${name}`).join(', ')}`;
    throw usageError(what, hint);
  }
  const both = nearest(`${first} ${second}`, names);
  const meant = both ?? nearest(first, [...new Set(names.map((name) => name.split(' ')[0]))]);
  throw usageError(`unknown command "${first}"`, meant ? `Did you mean skiff ${meant}?` : 'See skiff help');
}

function wantsJson(argv: string[]): boolean {
  return argv.some(
    (arg, index) =>
      /^(-o=?|--output=)json$/.test(arg) || (arg === 'json' && /^(-o|--output)$/.test(argv[index - 1] ?? '')),
  );
}
