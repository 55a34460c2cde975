/**
 * Makes certificates for sites to link with, as Secret documents that `skiff apply` takes. The CA is kept beside them,
 * so that more can be made later.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SkiffError } from '../src/errors.ts';
import { Authority, type Credentials } from '../src/pki/authority.ts';

const usage = `usage: scripts/certificates --out DIR [--hub HOST,HOST…] [STORE]…

Makes a CA (DIR/ca.crt, DIR/ca.key) unless there is one already, and with it certificates, each as a Secret document:

  --hub HOST,HOST…  DIR/hub.yaml, for a hub that stores reach under these names and addresses
  STORE             DIR/STORE.yaml, for a store of that name
  --out DIR         where everything goes; it is made when it is not there
  -h, --help        show this

What is there already is never written over.
`;

/** A name that a Secret may have. */
const documentName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const hostName = /^[a-z0-9]+([-.][a-z0-9]+)*$/;
const hub = 'hub';

interface Order {
  name: string;
  hosts: string[];
}

function readCommandLine(args: string[]): { directory: string; orders: Order[] } | null {
  const { values, positionals } = parseCommandLine(args);
  if (values.help) return null;
  if (!values.out) throw usageError('--out is required');
  const orders: Order[] = positionals.map((name) => ({ name, hosts: [] }));
  for (const { name } of orders) {
    if (name === hub) throw usageError(`a store cannot be called "${hub}"`);
    if (!documentName.test(name)) {
      throw usageError(`"${name}" is no name for a store: use lower-case letters, digits and "-"`);
    }
    if (positionals.indexOf(name) !== positionals.lastIndexOf(name)) throw usageError(`"${name}" is given twice`);
  }
  if (values.hub !== undefined) {
    const hosts = values.hub.split(',');
    for (const host of hosts) {
      if (!isIP(host) && !hostName.test(host)) {
        throw usageError(`"${host}" is no IP address and no host name in lower case (--hub)`);
      }
    }
    orders.unshift({ name: hub, hosts });
  }
  if (orders.length === 0) throw usageError('there is nothing to make');
  return { directory: values.out, orders };
}

function parseCommandLine(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        out: { type: 'string' },
        hub: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw usageError((error as Error).message.replace(/\. To specify.*/s, ''));
  }
}

function usageError(message: string): SkiffError {
  return new SkiffError('usage', message, { hint: 'See scripts/certificates --help' });
}

async function openAuthority(directory: string): Promise<Authority> {
  const [certificateFile, keyFile] = ['ca.crt', 'ca.key'].map((name) => join(directory, name));
  const there = [certificateFile, keyFile].filter((file) => existsSync(file));
  if (there.length === 2) {
    return Authority.from(readFileSync(certificateFile, 'utf8'), readFileSync(keyFile, 'utf8'));
  }
  if (there.length === 1) {
    throw new SkiffError('ca-incomplete', `the CA is incomplete: only one of its two files is there (${there[0]})`, {
      hint: 'Put the other one back, or remove this one to have a new CA made',
    });
  }
  const authority = await Authority.create('skiff-site-ca');
  writeNew(keyFile, authority.key, 0o600);
  writeNew(certificateFile, authority.certificate, 0o644);
  return authority;
}

/** The document, as Skupper writes it. */
function secret(name: string, { ca, certificate, key }: Credentials): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return `apiVersion: v1
kind: Secret
metadata:
  name: ${name}
type: kubernetes.io/tls
data:
  ca.crt: ${base64(ca)}
  tls.crt: ${base64(certificate)}
  tls.key: ${base64(key)}
`;
}

function writeNew(file: string, text: string, mode: number): void {
  writeFileSync(file, text, { mode, flag: 'wx' });
  console.log(file);
}

async function make(directory: string, orders: Order[]): Promise<void> {
  const fileOf = ({ name }: Order) => join(directory, `${name}.yaml`);
  for (const order of orders) {
    if (existsSync(fileOf(order))) {
      throw new SkiffError('exists', `there is a certificate already (${fileOf(order)})`, {
        hint: 'Remove it to have a new one made',
      });
    }
  }
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new SkiffError('unwritable', `the directory cannot be made: ${(error as Error).message}`);
  }
  const authority = await openAuthority(directory);
  for (const order of orders) {
    const credentials = await authority.issue({ commonName: order.name, hosts: order.hosts });
    writeNew(fileOf(order), secret(order.name, credentials), 0o600);
  }
}

try {
  const wanted = readCommandLine(process.argv.slice(2));
  if (wanted) await make(wanted.directory, wanted.orders);
  else process.stdout.write(usage);
} catch (error) {
  const { message, hint } = error as Error & { hint?: string };
  console.error(`error: ${message}.${hint ? ` ${hint}.` : ''}`);
  process.exitCode = error instanceof SkiffError && error.code === 'usage' ? 2 : 1;
}
