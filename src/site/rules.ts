/**
 * What documents must be to one another: the rules for the whole set that an apply would leave behind.
 */
import type { ErrorFact } from '../errors.ts';
import { keyOf, type Resource, type ResourceKey } from './resources.ts';
import type { Path } from './schema.ts';

/** Where a document was read, when it is one of those being applied. */
export type Places = ReadonlyMap<ResourceKey, { place(path: Path): string }>;

const defaultPorts = { 'inter-router': 55671, edge: 45671, normal: 5671 };

export type RouterAccess = Resource<'RouterAccess'>;
type Role = RouterAccess['spec']['roles'][number];

/** 0: any free one. */
export function portOf(role: Role): number {
  return role.port ?? defaultPorts[role.name];
}

/** Empty: all addresses. */
export function hostOf(access: RouterAccess, role: Role): string {
  return access.spec.bindHost ?? (role.name === 'normal' ? '127.0.0.1' : '');
}

/** The port of tokens, when no EnrolmentService says another. */
export const enrolmentPort = 9090;

/** The problems of the set; only documents in `places` are blamed, for the others were accepted before. */
export function judgeSet(documents: Resource[], places: Places): ErrorFact[] {
  const problems: ErrorFact[] = [];
  const blame = (document: Resource, path: Path, complaint: string, hint?: string) => {
    const place = places.get(keyOf(document))?.place(path);
    problems.push({
      code: 'conflict',
      message: `${document.kind} "${document.name}": ${complaint}${place ? ` (${place})` : ''}`,
      ...(hint ? { hint } : {}),
    });
  };
  judgeSites(documents, places, blame);
  judgePorts(documents, places, blame);
  const [service, ...others] = documents.filter(({ kind }) => kind === 'EnrolmentService');
  for (const other of others) blame(other, ['metadata', 'name'], `there is one already ("${service.name}")`);
  return problems;
}

/** What a document may not become. */
export function judgeChange(before: Resource | undefined, after: Resource, places: Places): ErrorFact[] {
  if (before?.kind !== 'MultiKeyListener' || after.kind !== 'MultiKeyListener') return [];
  const [was, is] = [before, after].map(({ spec }) => (spec.strategy.priority ? 'priority' : 'weighted'));
  if (was === is) return [];
  const place = places.get(keyOf(after))?.place(['spec', 'strategy']);
  const message = `MultiKeyListener "${after.name}": strategy cannot be changed from ${was} to ${is}`;
  const hint = 'Delete it first, or give the new one another name';
  return [{ code: 'conflict', message: place ? `${message} (${place})` : message, hint }];
}

type Blame = (document: Resource, path: Path, complaint: string, hint?: string) => void;

function judgeSites(documents: Resource[], places: Places, blame: Blame): void {
  const sites = documents.filter((document) => document.kind === 'Site');
  // The one that was there first stays; among new ones, the first.
  const [site, ...others] = sites.toSorted((a, b) => Number(places.has(keyOf(a))) - Number(places.has(keyOf(b))));
  for (const other of others) {
    blame(
      other,
      ['metadata', 'name'],
      `an active site already exists ("${site.name}")`,
      `Delete Site "${site.name}" first`,
    );
  }
  if (!site?.spec.edge) return;
  for (const access of documents.filter((document) => document.kind === 'RouterAccess')) {
    const role = access.spec.roles.findIndex(({ name }) => name !== 'normal');
    const culprit = role < 0 ? undefined : places.has(keyOf(access)) ? access : site;
    if (culprit) {
      const roleName = access.spec.roles[role].name;
      blame(
        culprit,
        culprit === access ? ['spec', 'roles', role, 'name'] : ['spec', 'edge'],
        `Edge sites cannot accept incoming links from remote sites (RouterAccess "${access.name}", role "${roleName}")`,
      );
    }
  }
}

function judgePorts(documents: Resource[], places: Places, blame: Blame): void {
  const owners = new Map<string, Resource>();
  const old = documents.filter((document) => !places.has(keyOf(document)));
  const incoming = documents.filter((document) => places.has(keyOf(document)));
  for (const document of [...old, ...incoming]) {
    for (const { host, port, path } of sockets(document)) {
      const owner = owners.get(`${host} ${port}`);
      if (owner) {
        const by = `${owner.kind} "${owner.name}"`;
        blame(document, path, `port ${port} is already mapped for host "${host}" by ${by}`);
      }
      owners.set(`${host} ${port}`, document);
    }
  }
}

function sockets(document: Resource): { host: string; port: number; path: Path }[] {
  if (document.kind === 'Listener' || document.kind === 'MultiKeyListener')
    return [{ ...document.spec, path: ['spec', 'port'] }];
  if (document.kind === 'EnrolmentService') {
    const { bindHost = '', port = enrolmentPort } = document.spec;
    return port === 0 ? [] : [{ host: bindHost, port, path: ['spec', 'port'] }];
  }
  if (document.kind !== 'RouterAccess') return [];
  return document.spec.roles
    .map((role, index) => ({ host: hostOf(document, role), port: portOf(role), path: ['spec', 'roles', index] }))
    .filter(({ port }) => port !== 0);
}
