/** The documents of the demo's hub, and of the stores that enrol at it. */
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
  /** Where stores enrol. */
  enrolment: number;
  /** The store's listener, which leads to a service beside the hub. */
  shop: number;
  /** The hub's listener, which leads to a service beside the store. */
  printer: number;
  /** Free, for a listener added by hand. */
  spare: number;
}

/** `service` is beside the hub, `printer` beside the store. */
export function hubDocuments(ports: Ports, service: Place, printer: Place): string {
  return `apiVersion: skupper.io/v2alpha1
kind: Site
metadata: {name: hub}
---
# Where stores link to. The hub makes the certificates itself.
apiVersion: skupper.io/v2alpha1
kind: RouterAccess
metadata: {name: hub}
spec:
  bindHost: 127.0.0.1
  roles: [{name: edge, port: ${ports.link}}]
---
# Where blank devices enrol.
apiVersion: skiff/v1alpha1
kind: EnrolmentService
metadata: {name: enrolment}
spec: {bindHost: 127.0.0.1, port: ${ports.enrolment}}
---
# What a store is given when it enrols, and what it may do.
apiVersion: skiff/v1alpha1
kind: DeviceGroup
metadata: {name: stores}
spec:
  nameTemplate: store{seq}
  documents:
    # The hub's service, as a port of the store.
    - apiVersion: skupper.io/v2alpha1
      kind: Listener
      metadata: {name: shop}
      spec: {routingKey: shop, host: 127.0.0.1, port: ${ports.shop}}
    # A service of the store, for the hub.
    - apiVersion: skupper.io/v2alpha1
      kind: Connector
      metadata: {name: printer}
      spec: {routingKey: printer, host: "${printer.host}", port: ${printer.port}}
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

/** A port that leads to the service beside the hub. */
export function shopListener(name: string, port: number): string {
  return `apiVersion: skupper.io/v2alpha1
kind: Listener
metadata: {name: ${name}}
spec: {routingKey: shop, host: 127.0.0.1, port: ${port}}
`;
}
