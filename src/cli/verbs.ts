/**
 * `create`, `update`, `delete` and `generate`, for each kind of resources.ts.
 */
import { SkiffError } from '../errors.ts';
import type { RenderedDocument } from '../site/render.ts';
import type { Kind, Reference } from '../site/resources.ts';
import type { JsonObject } from '../store/documents.ts';
import { readInteger } from './arguments.ts';
import { type Argument, type Command, command, documentOutputOption, type Options, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, printDocument, printDocuments, warn } from './output.ts';
import { waitUntil } from './progress.ts';
import { documentOf, portField, type ResourceDefinition, titled, withFields } from './resources.ts';
import { type SiteAccess, withSite } from './site-access.ts';

export const verbs = ['create', 'update', 'delete', 'generate'] as const;
export type Verb = (typeof verbs)[number];

export function verbCommand(verb: Verb, definition: ResourceDefinition): Command {
  return { create, update, delete: remove, generate }[verb](definition);
}

const timeoutOption = {
  type: 'duration',
  default: 60_000,
  help: 'how long to wait before it is an error',
} as const;

const deleteWait = { type: 'boolean', default: true, help: 'wait until it is gone' } as const;

function waitOption({ wait: preset }: ResourceDefinition) {
  return {
    type: 'string',
    value: 'STATUS',
    choices: ['ready', 'configured', 'none'],
    label: 'wait',
    help: `wait for this status before exiting (${preset} if not said, when the site runs)`,
  } as const;
}

/** Everything of a resource that can be set, as `create` shows it or as `update` does. */
function fieldOptions({ fields }: ResourceDefinition, creating: boolean): Options {
  const entries = Object.entries(fields).map(([name, { option, initial }]) => [
    name,
    creating && initial !== undefined ? { ...option, help: `${option.help} (${initial} if not said)` } : option,
  ]);
  return Object.fromEntries(entries);
}

function newArguments({ noun, hasPort }: ResourceDefinition): Argument[] {
  const name: Argument = { name: 'NAME', label: `${noun} name`, help: `what the ${noun} is to be called` };
  return hasPort ? [name, { name: 'PORT', label: `${noun} port`, help: 'its port' }] : [name];
}

function existing({ kind, noun }: ResourceDefinition): Argument {
  return { name: 'NAME', label: `${noun} name`, completion: { kind }, help: `which ${noun}` };
}

/** What else is to be made, by the options that ask for it. */
function documentsBesides({ besides = {} }: ResourceDefinition, values: Record<string, unknown>): RenderedDocument[] {
  return Object.entries(besides).flatMap(([name, { document }]) => (values[name] ? [document] : []));
}

function besideOptions({ besides = {} }: ResourceDefinition): Options {
  return Object.fromEntries(Object.entries(besides).map(([name, { option }]) => [name, option]));
}

function newDocument(definition: ResourceDefinition, values: Record<string, unknown>, args: string[]) {
  const [name, portText] = args;
  const spec = definition.initial(name);
  if (definition.hasPort) spec.port = readInteger(`${definition.noun} port`, portText);
  return documentOf(definition, name, withFields(definition, spec, values));
}

function incomplete({ noun, hasPort }: ResourceDefinition): string {
  return hasPort ? `${noun} name and port must be configured` : `${noun} name must not be empty`;
}

function create(definition: ResourceDefinition): Command {
  const { noun, description, examples } = definition;
  return command({
    description,
    arguments: newArguments(definition),
    incomplete: incomplete(definition),
    options: {
      ...fieldOptions(definition, true),
      ...besideOptions(definition),
      wait: waitOption(definition),
      timeout: timeoutOption,
    } as Options,
    examples: [
      { for: `create ${definition.what}`, command: `skiff ${noun} create ${examples.create}` },
      { for: 'and wait until it is of use', command: `skiff ${noun} create ${examples.create} --wait ready` },
    ],
    async run(values, args) {
      const document = newDocument(definition, values, args);
      const options = { directory: dataDirectory(values.data as string), command: 'create', create: true };
      await withSite(options, async (site) => {
        needRunning(site, values.wait);
        // There is one site in a data directory, whatever it is called.
        const others = await known(site.list(definition.kind as Kind, { showSecrets: false }));
        const same = others?.find(({ metadata }) => definition.kind === 'Site' || metadata.name === args[0]);
        if (same) {
          const what = definition.kind === 'Site' ? 'a site' : `a ${noun} ${args[0]}`;
          throw new SkiffError('already-exists', `There is already ${what} created`, {
            hint: `Change it with skiff ${noun} update ${same.metadata.name}`,
          });
        }
        await apply(site, document, ...documentsBesides(definition, values));
        await settle(site, definition, args[0], 'create', values);
      });
    },
  });
}

function update(definition: ResourceDefinition): Command {
  const { noun, kind, examples } = definition;
  const port = definition.hasPort ? { port: portField.option } : {};
  return command({
    description: `Changes what is named, and keeps the rest of the ${noun} as it is.`,
    arguments: [existing(definition)],
    incomplete: `${noun} name must be configured`,
    options: {
      ...fieldOptions(definition, false),
      ...port,
      wait: waitOption(definition),
      timeout: timeoutOption,
    } as Options,
    examples: [{ for: `change ${definition.what}`, command: `skiff ${noun} update ${examples.update}` }],
    async run(values, [name]) {
      const options = { directory: dataDirectory(values.data as string), command: 'update' };
      await withSite(options, async (site) => {
        needRunning(site, values.wait);
        const before = await known(site.get({ kind, name } as Reference, { showSecrets: false }));
        if (!before) throw new SkiffError('not-found', `${noun} ${name} must exist to be updated`);
        const { status: _, ...document } = before;
        await apply(site, { ...document, spec: withFields(definition, before.spec as JsonObject, values) });
        await settle(site, definition, name, 'update', values);
      });
    },
  });
}

function remove(definition: ResourceDefinition): Command {
  const { noun, kind } = definition;
  const isSite = kind === 'Site';
  const all = { all: { type: 'boolean', default: false, help: 'delete everything the site consists of' } } as const;
  return command({
    description: isSite
      ? 'Deletes the site; with --all, every document that is kept at this site. The data directory stays, with its identity.'
      : `Deletes the ${noun}. Connections of other documents are not touched.`,
    arguments: [isSite ? { ...existing(definition), optional: true as const } : existing(definition)],
    incomplete: `${noun} name must be specified`,
    options: { ...(isSite ? all : {}), wait: deleteWait, timeout: timeoutOption } as Options,
    examples: [
      { for: 'by its name', command: `skiff ${noun} delete ${definition.examples.create.split(' ')[0]}` },
      ...(isSite ? [{ for: 'with all it consists of', command: 'skiff site delete --all' }] : []),
    ],
    async run(values, [name]) {
      if (!values.all && name === undefined) throw usageError(`${noun} name must be specified`, 'Or use --all');
      const options = { directory: dataDirectory(values.data as string), command: 'delete' };
      await withSite(options, async (site) => {
        const references = values.all ? await own(site) : [{ kind, name } as Reference];
        if (!values.all && !(await known(site.get(references[0], { showSecrets: false })))) {
          throw new SkiffError('not-found', `${noun} ${name} does not exist`);
        }
        if (references.length) await site.delete(references);
        const waiting = { message: 'Waiting for deletion to complete...', timeoutMs: values.timeout as number };
        const overdue = () => `${titled(definition, name ?? '')} is not yet deleted`;
        const gone = async () => ((await known(site.get(references[0], { showSecrets: false }))) ? undefined : true);
        if (values.wait && references.length) await waitUntil({ ...waiting, overdue }, gone);
        for (const reference of references) print(`${reference.kind} "${reference.name}" deleted\n`);
      });
    },
  });
}

function generate(definition: ResourceDefinition): Command {
  const { noun, examples } = definition;
  return command({
    description: `Prints the document that create would make, and changes nothing.`,
    arguments: newArguments(definition),
    incomplete: incomplete(definition),
    options: {
      ...fieldOptions(definition, true),
      ...besideOptions(definition),
      output: documentOutputOption,
    } as Options,
    examples: [{ for: 'a file to apply later', command: `skiff ${noun} generate ${examples.create} > ${noun}.yaml` }],
    async run(values, args) {
      const document = newDocument(definition, values, args);
      const { readDocuments } = await import('../site/read.ts');
      const besides = documentsBesides(definition, values);
      readDocuments(source(document, ...besides));
      const output = values.output as unknown as 'yaml' | 'json';
      await (besides.length > 0 ? printDocuments([document, ...besides], output) : printDocument(document, output));
    },
  });
}

function source(...documents: RenderedDocument[]) {
  return [{ name: 'this command', text: JSON.stringify(documents) }];
}

async function apply(site: SiteAccess, ...documents: RenderedDocument[]): Promise<void> {
  await site.apply(source(...documents));
}

/** What is kept at this site by itself: what others gave it is theirs to take away. */
async function own(site: SiteAccess): Promise<Reference[]> {
  const documents = await site.export({ showSecrets: false });
  return documents
    .filter(({ metadata }) => !(metadata.annotations as JsonObject | undefined)?.['skiff/origin'])
    .map(({ kind, metadata }) => ({ kind: kind as Kind, name: metadata.name }));
}

/** undefined for what is not there. */
async function known<T>(asking: Promise<T>): Promise<T | undefined> {
  try {
    return await asking;
  } catch (error) {
    if (error instanceof SkiffError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** Before anything is changed: whoever wants to wait must have something to wait for. */
function needRunning(site: SiteAccess, wait: unknown): void {
  if (site.running || wait === undefined || wait === 'none') return;
  throw new SkiffError('not-running', `the site is not running, so nothing will be ${wait}`, {
    hint: 'Start it with skiff run, or leave --wait out. Nothing was changed',
  });
}

const done = { create: 'created', update: 'updated' };

/** Waits as asked, and says what came of it. */
async function settle(
  site: SiteAccess,
  definition: ResourceDefinition,
  name: string,
  action: 'create' | 'update',
  values: Record<string, unknown>,
): Promise<void> {
  const title = titled(definition, name);
  const wait = (values.wait as string | undefined) ?? (site.running ? definition.wait : 'none');
  // Without a site nothing comes to be, and who did not ask for it need not wait for it.
  const siteless = values.wait === undefined && (await site.list('Site', { showSecrets: false })).length === 0;
  if (siteless) warn('there is no site yet', 'Create it with skiff site create');
  if (wait === 'none' || siteless) return print(`${title} is ${done[action]}.\n`);
  let last: RenderedDocument | undefined;
  const message = `Waiting for ${action} to complete...`;
  const overdue = () =>
    `${title} is not yet ${wait}: ${last?.status?.message || 'check the status for more information'}`;
  await waitUntil({ message, timeoutMs: values.timeout as number, overdue }, async () => {
    last = await site.get({ kind: definition.kind, name } as Reference, { showSecrets: false });
    if (last.status?.status === 'Error') throw new SkiffError('not-taken-up', overdue());
    return holds(last, wait) ? true : undefined;
  });
  print(action === 'update' ? `${title} is updated.\n` : `${title} is ${wait}.\n`);
}

/** A status of an older generation says nothing of what was just applied. */
function holds({ metadata, status }: RenderedDocument, wait: string): boolean {
  const type = wait === 'ready' ? 'Ready' : 'Configured';
  const conditions = status && 'conditions' in status ? status.conditions : [];
  const condition = conditions.find((each) => each.type === type);
  return condition?.status === 'True' && condition.observedGeneration >= Number(metadata.generation);
}
