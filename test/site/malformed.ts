/** Documents of every kind that are wrong in one way, for property tests; the wrong thing is certain to be refused. */
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { kinds } from '../../src/site/kinds.ts';
import type { Kind } from '../../src/site/resources.ts';
import type { Field, Fields } from '../../src/site/schema.ts';
import type { Json, JsonObject } from '../../src/store/documents.ts';
import { makeCa } from '../support/certificates.ts';

const network = makeCa('network');
const { ca, certificate, key } = network.issue({ commonName: 'store' });
const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString();
const base64 = (text: string): string => Buffer.from(text).toString('base64');

const bodies: Record<Kind, JsonObject> = {
  Site: { spec: { edge: false, linkAccess: 'none' } },
  RouterAccess: { spec: { bindHost: '127.0.0.1', roles: [{ name: 'edge', port: 45_671 }] } },
  Link: { spec: { tlsCredentials: 'hub', endpoints: [{ name: 'edge', host: 'hub.example', port: '45671' }] } },
  Listener: { spec: { routingKey: 'erp', host: '127.0.0.1', port: 1_024 } },
  MultiKeyListener: { spec: { host: '127.0.0.1', port: 1_025, strategy: { weighted: { routingKeys: { erp: 1 } } } } },
  Connector: { spec: { routingKey: 'erp', host: '127.0.0.1', port: 1_026 } },
  Certificate: { spec: { ca: 'skupper-site-ca', subject: 'erp', hosts: ['erp.example'], server: true } },
  AccessGrant: { spec: { redemptionsAllowed: 2, expirationWindow: '15m' } },
  AccessToken: { spec: { url: 'https://hub.example:9090/x', code: 'abc', ca } },
  EnrolmentClaim: { spec: { group: 'stores', uses: 2, publicKey: base64('p'.repeat(44)) } },
  EnrolmentToken: { spec: { urls: ['https://hub.example:9090'], ca, id: 'spring', secret: base64('s'.repeat(32)) } },
  Device: { spec: { group: 'stores', variables: { till: '1' } } },
  DeviceGroup: { spec: { nameTemplate: 'store-{serial}', offers: ['erp'], longestDark: '400d' } },
  EnrolmentService: { spec: { port: 0, hosts: ['hub.example'] } },
  Secret: {
    type: 'kubernetes.io/tls',
    data: { 'ca.crt': base64(ca), 'tls.crt': base64(certificate), 'tls.key': base64(key) },
  },
};

function good(kind: Kind): JsonObject {
  return { apiVersion: kinds[kind].apiVersion, kind, metadata: { name: 'wrong' }, ...structuredClone(bodies[kind]) };
}

interface Place {
  path: (string | number)[];
  field: Field;
}

/** Every field that a document of the kind may have, down to those of its lists and maps. */
function placesOf(fields: Fields, path: Place['path']): Place[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (field.type === 'ignored') return [];
    const here = [...path, name];
    if (field.type === 'object') return [{ path: here, field }, ...placesOf(field.fields, here)];
    if (field.type !== 'list' || field.items.type !== 'object') return [{ path: here, field }];
    return [{ path: here, field }, ...placesOf(field.items.fields, [...here, 0])];
  });
}

function bodyPath(kind: Kind): string[] {
  return kinds[kind].body === 'spec' ? ['spec'] : [];
}

function set(document: JsonObject, path: Place['path'], value: Json | undefined): JsonObject {
  const steps = [...path];
  const last = steps.pop() as string;
  let at = document as Record<string | number, unknown>;
  for (const [index, step] of steps.entries()) {
    if (typeof at[step] !== 'object') at[step] = typeof steps[index + 1] === 'number' ? [] : {};
    at = at[step] as Record<string, unknown>;
  }
  if (value === undefined) delete at[last];
  else Object.defineProperty(at, last, { value, enumerable: true, configurable: true, writable: true });
  return document;
}

const strange = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
  fc.constantFrom('\0', 'a\0b', '\u202e', '🤖', '\x1b[31m', '../..', '__proto__', 'constructor', 'x'.repeat(100_000)),
);

const containers: Json[] = [[[]], { a: { b: 1 } }, [{ a: 1 }]];
const wrongTypes: Partial<Record<Field['type'], Json[]>> = {
  string: [1, true, ...containers],
  integer: ['one', 1.5, 1e300, -1, true, Number.MAX_SAFE_INTEGER, ...containers],
  boolean: ['maybe', 1, ...containers],
  map: ['text', 1, { a: 1 }, [[]]],
  'number map': ['text', 1, { a: 'one' }, { a: 1.5 }, { a: 1e300 }, [[]]],
  list: ['text', 1, { a: 1 }, [[]], [{ a: 1 }]],
  object: ['text', 1, true, [[]]],
  'numeric string': ['http', '-1', '1e3', '99999', 1.5, true, ...containers],
};

const headPaths: Place['path'][] = [['metadata'], ['metadata', 'name'], ['kind'], ['apiVersion']];
const anyKind = fc.constantFrom(...(Object.keys(kinds) as Kind[]));
const yaml = (document: JsonObject): string => stringify(document);

const wrongType = anyKind.chain((kind) => {
  const places = placesOf(kinds[kind].fields, bodyPath(kind));
  return fc
    .constantFrom(...places)
    .chain(({ path, field }) =>
      fc.constantFrom(...(wrongTypes[field.type] ?? [])).map((value) => yaml(set(good(kind), path, value))),
    );
});

const requiredOf: [Kind, Place['path']][] = (Object.keys(kinds) as Kind[]).flatMap((kind) => {
  const places = placesOf(kinds[kind].fields, bodyPath(kind)).filter(({ field }) => field.required);
  return places.map(({ path }) => [kind, path] as [Kind, Place['path']]);
});

const missing = fc.oneof(
  fc.constantFrom(...requiredOf).map(([kind, path]) => yaml(set(good(kind), path, undefined))),
  fc.tuple(anyKind, fc.constantFrom(...headPaths)).map(([kind, path]) => yaml(set(good(kind), path, undefined))),
);

const unknownField = fc
  .tuple(anyKind, strange, fc.boolean())
  .map(([kind, name, inBody]) => yaml(set(good(kind), [...(inBody ? bodyPath(kind) : []), `${name}?`], 1)));

const wrongHead = fc
  .tuple(anyKind, fc.constantFrom(...headPaths), strange)
  .map(([kind, path, text]) => yaml(set(good(kind), path, `${text}?`)));

const wrongSecret = fc
  .tuple(
    fc.constantFrom('ca.crt', 'tls.crt', 'tls.key'),
    fc.oneof(
      fc.constantFrom('!', '====', '£', '<redacted>', '', base64(''), base64(otherKey), base64('\0')),
      fc.constantFrom('CERTIFICATE', 'PRIVATE KEY', 'RSA PRIVATE KEY').map((label) => {
        return base64(`-----BEGIN ${label}-----\nMIIB${'A'.repeat(400)}\n-----END ${label}-----\n`);
      }),
      fc.nat({ max: key.length - 60 }).map((length) => base64(key.slice(0, length))),
      strange.map((text) => base64(text)),
    ),
  )
  .map(([file, value]) => yaml(set(good('Secret'), ['data', file], value)));

const laughs = `${[...Array(12).keys()].map((level) => `l${level}: &l${level} [${level ? `*l${level - 1},`.repeat(12) : 'ha'}]`).join('\n')}\n`;

/** What may be done to the text of a document. */
const tricks: ((text: string) => string)[] = [
  (text) => `${text}other: *nobody\n`,
  (text) => `${text}${laughs}`,
  (text) => `${text}metadata: {name: again}\n`,
  (text) => `${text}spec: !!js/function "process.exit()"\n`,
  (text) => `${text}? {a: b}\n: c\n`,
  (text) => `${text}<<: &own {a: *own}\n`,
  (text) => `${text}deep: ${'['.repeat(20_000)}`,
  (text) => `${text}deep: ${'['.repeat(5_000)}${']'.repeat(5_000)}\n`,
  (text) => `${text}deep: ${'{a: '.repeat(20_000)}`,
  (text) => `${text}"unfinished: 1\n`,
  (text) => `${text}\ttab: 1\n`,
  (text) => `${text}nul: "\0"\n`,
  (text) => `${text}"\0": 1\n`,
  (text) => `%YAML 9.9\n${text}`,
  (text) => `&self [*self]\n---\n${text}other: 1\n`,
  (text) => `- ${'x'.repeat(1_000_000)}\n---\n${text}`,
  (text) => Buffer.from(text, 'utf16le').toString('latin1'),
  (text) => `${text}${[...Array(20_000).keys()].map((index) => `x${index}: 1\n`).join('')}`,
];

const tricky = fc.tuple(anyKind, fc.constantFrom(...tricks)).map(([kind, trick]) => trick(yaml(good(kind))));

const cut = fc
  .tuple(anyKind, fc.double({ min: 0, max: 0.9, noNaN: true }))
  .map(([kind, share]) => JSON.stringify(good(kind)).slice(0, -1 - Math.floor(share * 40)));

export const malformed: fc.Arbitrary<string> = fc.oneof(
  { weight: 8, arbitrary: wrongType },
  { weight: 2, arbitrary: missing },
  { weight: 2, arbitrary: unknownField },
  { weight: 2, arbitrary: wrongHead },
  { weight: 3, arbitrary: wrongSecret },
  { weight: 3, arbitrary: tricky },
  { weight: 1, arbitrary: cut },
);
