/** The documents of the demo's two sites. */
import { isIP } from 'node:net';

export interface Place {
  host: string;
  port: number;
}

export function hostPort({ host, port }: Place): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

export interface Ports {
  /** Where the hub takes links. */
  link: number;
  /** The store's listener, which leads to a service beside the hub. */
  shop: number;
  /** The hub's listener, which leads to a service beside the store. */
  printer: number;
  /** Free, for a listener added by hand. */
  spare: number;
}

export function hubDocuments(ports: Ports, service: Place): string {
  return `apiVersion: skupper.io/v2alpha1
kind: Site
metadata: {name: hub}
---
# Where stores link to.
apiVersion: skupper.io/v2alpha1
kind: RouterAccess
metadata: {name: hub}
spec:
  bindHost: 127.0.0.1
  tlsCredentials: hub
  roles: [{name: edge, port: ${ports.link}}]
---
# A service beside the hub, for the stores.
apiVersion: skupper.io/v2alpha1
kind: Connector
metadata: {name: shop}
spec: {routingKey: shop, host: "${service.host}", port: ${service.port}}
---
# A service of the store, as a port of the hub.
apiVersion: skupper.io/v2alpha1
kind: Listener
metadata: {name: printer}
spec: {routingKey: printer, host: 127.0.0.1, port: ${ports.printer}}
`;
}

export function storeDocuments(ports: Ports, printer: Place): string {
  return `apiVersion: skupper.io/v2alpha1
kind: Site
metadata: {name: store1}
spec: {edge: true}
---
# The one connection between the two, and it goes out.
apiVersion: skupper.io/v2alpha1
kind: Link
metadata: {name: hub}
spec:
  tlsCredentials: store1
  endpoints: [{name: edge, host: 127.0.0.1, port: "${ports.link}"}]
---
# The hub's service, as a port of the store.
${shopListener('shop', ports.shop)}---
# A service of the store, for the hub.
apiVersion: skupper.io/v2alpha1
kind: Connector
metadata: {name: printer}
spec: {routingKey: printer, host: ${printer.host}, port: ${printer.port}}
`;
}

/** A port that leads to the service beside the hub. */
export function shopListener(name: string, port: number): string {
  return `apiVersion: skupper.io/v2alpha1
kind: Listener
metadata: {name: ${name}}
spec: {routingKey: shop, host: 127.0.0.1, port: ${port}}
`;
}
