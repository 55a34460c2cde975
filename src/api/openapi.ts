/**
 * The local API described for programs: OpenAPI 3.1, served at /openapi.json. test/process/openapi.test.ts compares it with the
 * routes and with what they really answer.
 */
import { kinds } from '../site/kinds.ts';
import { version } from '../version.ts';

type Schema = Record<string, unknown>;

const text = { type: 'string' };
const count = { type: 'integer', minimum: 0 };
const time = { type: 'string', format: 'date-time' };
const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
const listOf = (items: Schema): Schema => ({ type: 'array', items });
const named = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** Every property is required unless its name ends with `?`. Nothing else is allowed, unless `open`. */
function object(properties: Record<string, Schema>, open = false): Schema {
  const plain = Object.entries(properties).map(([name, schema]) => [name.replace(/\?$/, ''), schema]);
  const required = Object.keys(properties).filter((name) => !name.endsWith('?'));
  return { type: 'object', properties: Object.fromEntries(plain), required, additionalProperties: open };
}

/** What a device knows of itself. */
const deviceFacts = {
  state: { enum: ['unclaimed', 'asking', 'pending', 'refused', 'enrolled', 'revoked', 'by-hand'] },
  words: { description: 'Of its key, as the hub shows them beside a device that waits.', ...orNull(text) },
  claim: orNull(text),
  hub: listOf(text),
  device: orNull(object({ name: text, siteId: text, group: text })),
  identity: orNull(named('Identity')),
  tried: listOf(object({ place: text, outcome: text })),
  attempts: count,
  error: orNull(named('Error')),
  nextAttemptTime: orNull(time),
  enrolledTime: orNull(time),
};

const schemas: Record<string, Schema> = {
  Error: object({ code: text, message: text, 'hint?': text }),
  ErrorAnswer: object({ code: text, message: text, 'hint?': text, 'problems?': listOf(named('Error')) }),
  SiteFacts: {
    description: 'Which site this is; all null while it is unclaimed.',
    ...object({ site: orNull(text), mode: orNull({ enum: ['edge', 'interior'] }), id: orNull(text) }),
  },
  Status: object({
    site: named('SiteFacts'),
    pid: count,
    version: text,
    startTime: time,
    http: {
      description: 'Where the status page and metrics are served; null when they are not to be.',
      ...orNull(object({ url: orNull(text), error: orNull(named('Error')) })),
    },
    warnings: listOf(named('Error')),
  }),
  Identity: object({
    serial: orNull(text),
    uuid: orNull(text),
    macs: listOf(text),
    model: orNull(text),
    disks: listOf(text),
  }),
  Claim: object({ claim: { description: 'The text of an EnrolmentToken, YAML or JSON.', ...text } }),
  DeviceFacts: object(deviceFacts),
  Device: object({ ...deviceFacts, controller: orNull(named('Membership')) }),
  Membership: object({
    heardAt: { description: 'Milliseconds since the epoch.', ...orNull(count) },
    applied: count,
    trying: orNull(count),
    error: orNull(text),
  }),
  Devices: object({ devices: listOf(text) }),
  DecidedDevice: object({ name: text, state: { enum: ['pending', 'enrolled', 'rejected', 'revoked'] } }),
  AuditEntry: object({
    at: { description: 'Milliseconds since the epoch.', ...count },
    event: text,
    device: orNull(text),
    claim: orNull(text),
    address: orNull(text),
    detail: orNull(text),
  }),
  SelfCheck: object({
    routerMs: { description: 'Milliseconds of a round trip through the router thread.', type: 'number', minimum: 0 },
    database: { description: '`ok`, or the first thing that SQLite finds wrong.', ...text },
  }),
  Traffic: object({
    at: { description: 'Milliseconds since some moment, the same for all answers of one process.', type: 'number' },
    parts: listOf({
      description: 'What came from the other end of its sockets, and what went there, in octets.',
      ...object({
        kind: { enum: ['access', 'link', 'listener', 'multiKeyListener', 'connector'] },
        name: text,
        connections: count,
        octetsIn: count,
        octetsOut: count,
      }),
    }),
  }),
  ManageRequest: object({
    'router?': { description: 'The id of another router of the network.', ...text },
    'edge?': { description: 'The id of an edge router.', ...text },
    properties: {
      description: "The application properties of the request, in the terms of skupper-router's management.",
      type: 'object',
    },
    'body?': {},
  }),
  ManageAnswer: object({
    status: { description: '200 or 204, or why it was not done.', ...count },
    description: text,
    body: {},
  }),
  Log: object({
    records: listOf(
      object({
        time: { description: 'Milliseconds since the epoch.', ...count },
        level: { enum: ['debug', 'info', 'warn', 'error'] },
        part: text,
        message: text,
        'fields?': { type: 'object' },
      }),
    ),
  }),
  Condition: object({
    type: text,
    status: { enum: ['True', 'False', 'Unknown'] },
    reason: { enum: ['Ready', 'Pending', 'Error'] },
    message: text,
    observedGeneration: count,
    lastTransitionTime: time,
  }),
  Document: {
    description: "A document in Kubernetes' form; `spec` and the details of `status` are those of its kind.",
    ...object(
      {
        apiVersion: text,
        kind: text,
        metadata: object({ name: text }, true),
        'spec?': { type: 'object' },
        'status?': object(
          {
            'conditions?': listOf(named('Condition')),
            status: { enum: ['Ready', 'Pending', 'Error'] },
            message: text,
          },
          true,
        ),
      },
      true,
    ),
  },
  Reference: object({ kind: text, name: text }),
  Change: object({ kind: text, name: text, action: { enum: ['added', 'changed', 'unchanged', 'deleted'] } }),
  Changes: object({ changes: listOf(named('Change')) }),
  Apply: object({
    sources: listOf({
      description: 'A text of YAML or JSON documents, and the name by which errors call it.',
      ...object({ name: text, text }),
    }),
  }),
  Give: {
    description: 'Documents for the devices of a group, or for one; with `prune` in place of those there.',
    ...object({
      sources: listOf(object({ name: text, text })),
      'group?': text,
      'device?': text,
      'prune?': { type: 'boolean' },
    }),
  },
  OrderRequest: object({ verb: text, withinMs: count }),
  ReplacementRequest: object({ serial: text }),
  BackupRequest: object({ passphrase: { type: 'string' } }),
  Backup: object({ backup: { description: 'The file that skiff site restore takes, in base64.', ...text } }),
  Issued: {
    description: 'A certificate that this site has issued to another.',
    ...object({
      name: text,
      status: { enum: ['valid', 'expired', 'revoked'] },
      subject: text,
      issuer: text,
      issued: time,
      expiration: time,
      fingerprint: { description: 'SHA-256, hexadecimal.', ...text },
    }),
  },
  Revoke: object({ certificates: { description: 'Names, or fingerprints, which may be cut short.', ...listOf(text) } }),
  LinkRequest: object({ 'host?': text, 'name?': text, 'cost?': count }),
  Delete: object({ documents: listOf(named('Reference')) }),
  Event: {
    description: 'A site that came to be or changed, a document that did, or its status.',
    ...object({ event: { enum: ['site', 'document', 'status'] } }, true),
  },
};

const kind = {
  name: 'kind',
  in: 'path',
  required: true,
  schema: { enum: Object.keys(kinds) },
};
const name = { name: 'name', in: 'path', required: true, schema: text };
const showSecrets = {
  name: 'show-secrets',
  in: 'query',
  description: 'Show the values of Secrets.',
  schema: { type: 'boolean', default: false },
};

const finish = {
  name: 'finish',
  in: 'query',
  description: 'Believe in the former CA no more, instead.',
  schema: { type: 'boolean', default: false },
};

interface Operation {
  summary: string;
  parameters?: object[];
  body?: string;
  answer: Schema;
  /** One JSON value a line, until the one who asked goes away. */
  lines?: true;
}

function operation({ summary, parameters, body, answer, lines }: Operation): object {
  const json = (schema: Schema) => ({ 'application/json': { schema } });
  return {
    summary,
    ...(parameters ? { parameters } : {}),
    ...(body ? { requestBody: { required: true, content: json(named(body)) } } : {}),
    responses: {
      200: {
        description: lines ? 'One JSON value a line, until the one who asked goes away.' : 'Done.',
        content: lines ? { 'application/x-ndjson': { schema: answer } } : json(answer),
      },
      default: { description: 'What is wrong, and how to mend it.', content: json(named('ErrorAnswer')) },
    },
  };
}

/** Of devices, by their names or words. */
const decision = (summary: string) => operation({ summary, body: 'Devices', answer: listOf(named('DecidedDevice')) });

const paths: Record<string, Record<string, object>> = {
  '/openapi.json': { get: operation({ summary: 'This description', answer: { type: 'object' } }) },
  '/v1/status': { get: operation({ summary: 'The process and its site', answer: named('Status') }) },
  '/v1/self-check': {
    get: operation({
      summary: 'Whether the router thread answers and the database is whole',
      answer: named('SelfCheck'),
    }),
  },
  '/v1/log': { get: operation({ summary: 'The last records of the log, oldest first', answer: named('Log') }) },
  '/v1/traffic': { get: operation({ summary: 'What each part carries', answer: named('Traffic') }) },
  '/v1/events': { get: operation({ summary: 'What happens from now on', answer: named('Event'), lines: true }) },
  '/v1/router': {
    post: operation({
      summary: 'Asks the management agent of this router, or of another in the network',
      body: 'ManageRequest',
      answer: named('ManageAnswer'),
    }),
  },
  '/v1/export': {
    get: operation({
      summary: 'All documents, as one applies them',
      parameters: [showSecrets],
      answer: listOf(named('Document')),
    }),
  },
  '/v1/claims/{name}/revoke': {
    post: operation({ summary: 'Nobody enrols with a claim any more', parameters: [name], answer: { type: 'object' } }),
  },
  '/v1/device': {
    get: operation({ summary: 'This machine as a device of a fleet', answer: named('Device') }),
  },
  '/v1/device/identity': {
    get: operation({ summary: 'What this machine says of itself when it enrols', answer: named('Identity') }),
  },
  '/v1/device/claim': {
    post: operation({
      summary: 'Brings a claim to a device that has none',
      body: 'Claim',
      answer: named('DeviceFacts'),
    }),
  },
  '/v1/device/relink': {
    post: operation({
      summary: 'Leaves the hub for that of another claim',
      body: 'Claim',
      answer: named('DeviceFacts'),
    }),
  },
  '/v1/device/reset': {
    post: operation({ summary: 'Wipes everything, and ends the process', answer: { type: 'object' } }),
  },
  '/v1/fleet/approve': { post: decision('Lets devices in that wait for approval') },
  '/v1/fleet/reject': { post: decision('Turns devices away that wait for approval') },
  '/v1/fleet/revoke': { post: decision('Ends what devices may do, for good') },
  '/v1/fleet/devices/{name}': {
    get: operation({ summary: 'Everything about a device', parameters: [name], answer: { type: 'object' } }),
  },
  '/v1/fleet/devices/{name}/orders': {
    post: operation({
      summary: 'Has something done at a device, at once or when it is back',
      parameters: [name],
      body: 'OrderRequest',
      answer: { type: 'object' },
    }),
  },
  '/v1/fleet/devices/{name}/replacement': {
    post: operation({
      summary: 'Puts another box in the place of a device',
      parameters: [name],
      body: 'ReplacementRequest',
      answer: object({ name: text, serial: text, done: { type: 'boolean' } }),
    }),
  },
  '/v1/fleet/documents': {
    post: operation({
      summary: 'Gives documents to the devices of a group, or to one',
      body: 'Give',
      answer: named('Changes'),
    }),
  },
  '/v1/fleet/audit': {
    get: operation({ summary: 'What was decided of devices, the latest first', answer: listOf(named('AuditEntry')) }),
  },
  '/v1/backup': {
    post: operation({ summary: 'All that the site keeps, encrypted', body: 'BackupRequest', answer: named('Backup') }),
  },
  '/v1/certificates': {
    get: operation({ summary: 'The certificates that others have from this site', answer: listOf(named('Issued')) }),
  },
  '/v1/certificates/revoke': {
    post: operation({ summary: 'Revokes certificates, for good', body: 'Revoke', answer: listOf(named('Issued')) }),
  },
  '/v1/authorities/{name}/roll': {
    post: operation({
      summary: 'Puts a new CA in the place of one',
      parameters: [name, finish],
      answer: { type: 'object' },
    }),
  },
  '/v1/links': {
    post: operation({
      summary: 'A Secret and a Link for another site to link to this one',
      body: 'LinkRequest',
      answer: listOf(named('Document')),
    }),
  },
  '/v1/tokens/redeem': {
    post: operation({ summary: 'Redeems tokens of other sites', body: 'Apply', answer: named('Changes') }),
  },
  '/v1/documents': {
    post: operation({
      summary: 'Adds and changes documents, all or none',
      body: 'Apply',
      answer: named('Changes'),
    }),
    delete: operation({ summary: 'Takes documents away, all or none', body: 'Delete', answer: named('Changes') }),
  },
  '/v1/reload': {
    post: operation({ summary: 'Reads again the files that the site was started with', answer: named('Changes') }),
  },
  '/v1/documents/{kind}': {
    get: operation({
      summary: 'The documents of a kind',
      parameters: [kind, showSecrets],
      answer: listOf(named('Document')),
    }),
  },
  '/v1/documents/{kind}/{name}': {
    get: operation({ summary: 'One document', parameters: [kind, name, showSecrets], answer: named('Document') }),
  },
};

export const openapi = {
  openapi: '3.1.0',
  info: {
    title: 'Skiff local API',
    version,
    description: 'HTTP on the Unix socket control.sock in the data directory of a running site, for its user alone.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: 'http://localhost/' }],
  paths,
  components: { schemas },
};
