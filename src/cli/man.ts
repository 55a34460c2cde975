/**
 * `skiff man`: the manual page, made from what the commands declare.
 */
import { buildTime, version } from '../version.ts';
import { type Command, command, commonOptions, type Registry } from './command.ts';
import { describe, label, shown, usage } from './help.ts';
import { print } from './output.ts';

export async function manualPage(commands: Registry): Promise<string> {
  const date = new Date(buildTime).toISOString().slice(0, 10);
  const sections = await Promise.all(shown(commands).map(async (name) => ofCommand(name, await commands[name].load())));
  return [
    `.TH SKIFF 1 "${date}" "skiff ${version}" "User Commands"`,
    '.SH NAME',
    'skiff \\- a site of an application network, compatible with Skupper',
    '.SH SYNOPSIS',
    '.B skiff',
    '.I COMMAND',
    '[\\fIOPTION\\fR]...',
    '.SH DESCRIPTION',
    text('One executable that is a site of an application network and its command line. Services are reached by name,'),
    text('over links that are encrypted and authenticated at both ends.'),
    '.SH COMMANDS',
    ...sections.flat(),
    '.SH COMMON OPTIONS',
    ...Object.entries(commonOptions).flatMap(([name, option]) => item(label(name, option), describe(option))),
    '.SH EXIT STATUS',
    ...exitStatuses.flatMap(([code, meaning]) => item(code, meaning)),
    '.SH ENVIRONMENT',
    ...item('SKIFF_DATA', 'the data directory, when --data does not say'),
    ...item('NO_COLOR', 'no colours, on a terminal too'),
    '',
  ].join('\n');
}

const exitStatuses = [
  ['0', 'done'],
  ['1', 'failed'],
  ['2', 'wrong usage, or documents that are not valid'],
  ['3', 'the site is not running or cannot be reached'],
  ['4', 'timed out waiting'],
];

function ofCommand(name: string, definition: Command): string[] {
  const { description, arguments: declared = [], options, examples } = definition;
  return [
    `.SS "${quoted(usage(name, definition))}"`,
    text(description),
    ...declared.flatMap((argument) => item(argument.name, describe(argument))),
    ...Object.entries(options).flatMap(([option, each]) => item(label(option, each), describe(each))),
    ...examples.flatMap((each) => ['.PP', `${text(each.for)}:`, '.EX', text(each.command), '.EE']),
  ];
}

function item(term: string, meaning: string): string[] {
  return ['.TP', `.B ${text(term)}`, text(meaning)];
}

/** Text as roff takes it: no line that starts with its control characters, no escape, hyphens that can be copied. */
function text(plain: string): string {
  const escaped = plain.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', '...');
  return escaped.replaceAll(/^(?=[.'])/gm, '\\&');
}

function quoted(plain: string): string {
  return text(plain).replaceAll('"', '\\(dq');
}

export function manCommand(commands: Registry): Command {
  return command({
    description: 'Prints the manual page.',
    options: {},
    examples: [
      { for: 'read it', command: 'skiff man | man -l -' },
      { for: 'install it', command: 'skiff man > /usr/local/share/man/man1/skiff.1' },
    ],
    async run() {
      print(await manualPage(commands));
    },
  });
}
