/** One of the plain TLS proxies: `tls-proxy-process.ts FILE`, where FILE holds a ProxyConfig. */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';

/** What is accepted at one port is carried to another; each end is plain or TLS. */
export interface Way {
  listen: { port: number; tls: boolean };
  connect: { port: number; tls: boolean };
}

export interface ProxyConfig {
  ca: string;
  certificate: string;
  key: string;
  ways: Way[];
}

const { ca, certificate, key, ways } = JSON.parse(readFileSync(process.argv[2], 'utf8')) as ProxyConfig;
const material = { ca, cert: certificate, key };
const secureContext = tls.createSecureContext(material);

function serve({ listen, connect }: Way): Promise<void> {
  // A session is resumed where the server allows it: a full handshake for each stream would be no fair comparison.
  let session: Buffer | undefined;

  const onConnection = (accepted: net.Socket): void => {
    accepted.setNoDelay(true);
    let out: net.Socket;
    if (connect.tls) {
      // Apart from the call, because the types do not know the last one.
      const options = {
        host: '127.0.0.1',
        port: connect.port,
        servername: 'localhost',
        secureContext,
        session,
        allowHalfOpen: true,
      };
      const secured = tls.connect(options);
      secured.on('session', (latest) => {
        session = latest;
      });
      out = secured;
    } else {
      out = net.connect({ host: '127.0.0.1', port: connect.port, allowHalfOpen: true });
    }
    out.setNoDelay(true);
    join(accepted, out);
  };

  const server = listen.tls
    ? tls.createServer({ ...material, requestCert: true, rejectUnauthorized: true, allowHalfOpen: true }, onConnection)
    : net.createServer({ allowHalfOpen: true }, onConnection);
  server.on('tlsClientError', (error) => console.error(`refused: ${error.message}`));
  return new Promise((resolve) => server.listen(listen.port, '127.0.0.1', 4_096, () => resolve()));
}

function join(one: Duplex, other: Duplex): void {
  const end = (): void => {
    one.destroy();
    other.destroy();
  };
  for (const each of [one, other]) each.on('error', end).on('close', end);
  one.pipe(other).pipe(one);
}

await Promise.all(ways.map(serve));
console.log('ready');
