/**
 * argv → a command that is run, helped with or refused.
 */
import { readArguments, usageError } from './command.ts';
import { commands } from './commands.ts';
import { fail } from './failure.ts';
import { helpFor, overview } from './help.ts';
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

async function dispatch(argv: string[]): Promise<void> {
  if (argv.length === 0 || argv[0] === '--help' || argv[0] === '-h') return print(overview());
  if (argv[0] === 'help') return argv.length === 1 ? print(overview()) : dispatch([...argv.slice(1), '--help']);
  const [name, args] = findCommand(argv);
  const command = await commands[name].load();
  const { values, positionals } = readArguments(name, command, args);
  if (values.help) return print(helpFor(command));
  await command.run(values, positionals);
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
    throw usageError(what, `There is ${inGroup.map((name) => `skiff ${name}`).join(', ')}`);
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
