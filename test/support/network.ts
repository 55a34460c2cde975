/** The documents of small networks: a hub, edges that link to it, and what they offer and listen for. */
import { type Ca, type Issued, makeCa } from './certificates.ts';
import { freePort } from './tcp.ts';

export function document(kind: string, name: string, spec: object): object {
  return { apiVersion: 'skupper.io/v2alpha1', kind, metadata: { name }, spec };
}

export function secret(name: string, { ca, certificate, key }: Issued): object {
  const stringData = { 'ca.crt': ca, 'tls.crt': certificate, 'tls.key': key };
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'kubernetes.io/tls', stringData };
}

export function connector(name: string, port: number, routingKey = name, host = '127.0.0.1', more = {}): object {
  return document('Connector', name, { routingKey, host, port, ...more });
}

export function listener(name: string, port: number, routingKey = name, host = '127.0.0.1', more = {}): object {
  return document('Listener', name, { routingKey, host, port, ...more });
}

/** Keys in order, or keys with weights. */
export function multiKeyListener(name: string, port: number, keys: string[] | Record<string, number>): object {
  const strategy = Array.isArray(keys) ? { priority: { routingKeys: keys } } : { weighted: { routingKeys: keys } };
  return document('MultiKeyListener', name, { host: '127.0.0.1', port, strategy });
}

/** What a hub is reached by, and whom it trusts. */
export interface Network {
  ca: Ca;
  host: string;
  edgePort: number;
  interRouterPort: number;
  /** Where clients of AMQP connect at the hub, on loopback. */
  normalPort: number;
}

export async function newNetwork(host = '127.0.0.1', ca = makeCa('network')): Promise<Network> {
  const [edgePort, interRouterPort, normalPort] = await Promise.all([freePort(), freePort(), freePort()]);
  return { ca, host, edgePort, interRouterPort, normalPort };
}

/**
 * An interior site with an access for edges and interior routers, over mutual TLS, and one for clients. Its certificate
 * names `hosts` besides its own.
 */
export function hub(
  { ca, host, edgePort, interRouterPort, normalPort }: Network,
  hosts: string[] = [],
  name = 'hub',
): object[] {
  return [
    document('Site', name, {}),
    secret('hub-server', ca.issue({ commonName: name, hosts: [host, 'localhost', ...hosts] })),
    document('RouterAccess', 'uplinks', {
      bindHost: host,
      tlsCredentials: 'hub-server',
      roles: [
        { name: 'edge', port: edgePort },
        { name: 'inter-router', port: interRouterPort },
      ],
    }),
    normalAccess(normalPort),
  ];
}

export function normalAccess(port: number, name = 'clients'): object {
  return document('RouterAccess', name, { bindHost: '127.0.0.1', roles: [{ name: 'normal', port }] });
}

/** An edge site with a link to the hub. */
export function edge(network: Network, name: string, credentials?: Issued): object[] {
  return [
    document('Site', name, { edge: true }),
    secret('to-hub', credentials ?? network.ca.issue({ commonName: name })),
    link(network),
  ];
}

export function link({ host, edgePort, interRouterPort }: Network, port = edgePort): object {
  return document('Link', 'to-hub', {
    tlsCredentials: 'to-hub',
    endpoints: [
      { name: 'inter-router', host, port: String(interRouterPort) },
      { name: 'edge', host, port: String(port) },
    ],
  });
}

/** What a hub links to another hub with; the Link has the other's name. */
export function neighbour({ ca, host, interRouterPort }: Network, name: string, cost = 1): object[] {
  const endpoints = [{ name: 'inter-router', host, port: String(interRouterPort) }];
  return [
    secret(`to-${name}`, ca.issue({ commonName: `neighbour of ${name}` })),
    document('Link', name, { tlsCredentials: `to-${name}`, endpoints, cost }),
  ];
}
