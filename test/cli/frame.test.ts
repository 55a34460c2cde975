/** What is made of the commands' declarations: parsing, help, completion, the manual page, colours. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments } from '../../src/cli/arguments.ts';
import { type Command, command, type Option } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';
import { complete } from '../../src/cli/complete.ts';
import { helpFor } from '../../src/cli/help.ts';
import { manualPage } from '../../src/cli/man.ts';
import { printable } from '../../src/cli/style.ts';

const test = suite('frame');

function withOptions(options: Record<string, Option>, more: Partial<Command> = {}): Command {
  return command({ description: 'Tries.', options, examples: [], run: async () => {}, ...more } as Command);
}

const all = withOptions(
  {
    text: { type: 'string', short: 't', help: '' },
    many: { type: 'string', multiple: true, help: '' },
    flag: { type: 'boolean', help: '', default: false },
    count: { type: 'integer', help: '', default: 1 },
    time: { type: 'duration', help: '', default: 60_000 },
    format: { type: 'string', choices: ['one', 'two'], help: '', default: 'one' },
  },
  {
    arguments: [
      { name: 'NAME', help: '' },
      { name: 'MORE', help: '', optional: true, many: true },
    ],
  },
);

test('options are read as what they were declared to be', () => {
  const { values, args } = readArguments('try', all, [
    'x',
    '-t',
    'a',
    '--many=1',
    '--many',
    '2',
    '--flag',
    '--count=7',
    '--time',
    '3m',
    'y',
    '--',
    '--flag',
  ]);
  assert.equal(args, ['x', 'y', '--flag']);
  assert.equal(
    { ...values },
    { text: 'a', many: ['1', '2'], flag: true, count: 7, time: 180_000, format: 'one', data: undefined, help: false },
  );
  const of = (...words: string[]) => readArguments('try', all, ['x', ...words]).values;
  assert.is(of('--flag=false').flag, false);
  assert.equal(
    ['90', '90s', '1h', '5ms'].map((word) => of('--time', word).time),
    [90_000, 90_000, 3_600_000, 5],
  );
});

test('what is wrong with a line is one sentence', () => {
  const wrong: [string[], RegExp][] = [
    [[], /^NAME is missing$/],
    [[''], /^NAME is missing$/],
    [['x', '--count', '-1'], /^count is not valid: "-1" is no whole number$/],
    [['x', '--time', '3 weeks'], /^time is not valid: "3 weeks" is no duration$/],
    [['x', '--format', 'three'], /^format is not valid: value three not allowed$/],
    [['x', '--flag=yes'], /takes no value but true or false/],
    [['x', '--constructor'], /^unknown option "--constructor"$/],
    [['x', '-z'], /^unknown option "-z"$/],
  ];
  for (const [line, message] of wrong) assert.throws(() => readArguments('try', all, line), message);
});

test('each command has examples that its own declaration accepts', async () => {
  for (const [name, { load, hidden }] of Object.entries(commands)) {
    if (hidden) continue;
    const definition = await load();
    const takes = Object.keys(definition.options).length + (definition.arguments?.length ?? 0);
    assert.ok(definition.examples.length > 0 || takes === 0, `${name} has no example`);
    for (const example of definition.examples) {
      assert.match(helpFor(name, definition), example.command);
      const part = example.command.split(/[|<>()]/).find((each) => each.trim().startsWith(`skiff ${name}`));
      assert.ok(part, `${name}: ${example.command}`);
      const words = part
        .trim()
        .split(/\s+/)
        .slice(1 + name.split(' ').length);
      assert.not.throws(() => readArguments(name, definition, words), undefined, example.command);
    }
  }
});

async function completed(line: string): Promise<string> {
  const { words, directive } = await complete(commands, line.split(' '));
  return [...words, ...(directive ? [`:${directive}`] : [])].join(' ');
}

test('a line is completed with commands, options, choices and kinds', async () => {
  assert.match(await completed(''), /apply .*link .*run /);
  assert.is(await completed('listener stat'), 'status');
  assert.is(await completed('help conn'), 'connector');
  assert.is(await completed('get li'), 'link listener');
  assert.is(await completed('get listener x --ou'), '--output');
  assert.is(await completed('get listener -o '), 'json table yaml');
  assert.is(await completed('get listener --output=j'), '--output=json');
  assert.is(await completed('get listener --output = j'), 'json');
  assert.is(await completed('apply -f '), ':file');
  assert.is(await completed('run --data '), ':directory');
  assert.is(await completed('completion '), 'bash fish zsh');
  assert.is(await completed('nothing such'), '');
  assert.is(await completed('get listener --data /nowhere '), '', 'no site, no names');
});

test('the manual page names every command and is good roff', async () => {
  const page = await manualPage(commands);
  for (const [name, { hidden }] of Object.entries(commands)) {
    assert.is(page.includes(`.SS "skiff ${name.replaceAll('-', '\\-')}`), !hidden, name);
  }
  const { error, stdout, stderr } = spawnSync('groff', ['-man', '-ww', '-Tascii'], { input: page, encoding: 'utf8' });
  if (error) {
    console.log('SKIP the manual page as groff reads it: there is no groff');
    return;
  }
  assert.is(stderr, '');
  assert.match(stdout, /connector/);
});

test('colour is for terminals that want it', () => {
  const program = `
    import { WriteStream } from 'node:tty';
    const { getColorDepth } = WriteStream.prototype;
    const { paint } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/cli/style.ts'))});
    const stream = Object.assign(Object.create(process.stdout), { isTTY: process.env.TTY === '1', getColorDepth });
    process.stdout.write(paint(stream, 'red', 'x'));`;
  const painted = (env: Record<string, string>) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program], { env, encoding: 'utf8' }).stdout;
  assert.is(painted({ TTY: '1', TERM: 'xterm' }), '\u001b[31mx\u001b[39m');
  assert.is(painted({ TTY: '0', TERM: 'xterm' }), 'x');
  assert.is(painted({ TTY: '1', TERM: 'xterm', NO_COLOR: '1' }), 'x');
  assert.is(painted({ TTY: '1', TERM: 'dumb' }), 'x');
});

test('what others say does not reach a terminal as an order to it', () => {
  assert.is(printable('a\u001b[2Jb\r\nc\u009b'), 'a [2Jb c ');
});

test.run();
