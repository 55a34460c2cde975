/**
 * A site as metrics tell of it: its parts with what they are said to do and carry, its certificates, its router.
 */
import type { Measurement, PartConfig, PartState, RouterFacts, Traffic } from '../router/protocol.ts';
import { expirationOf } from './lifetime.ts';
import { partKey } from './plan.ts';
import type { Kind } from './resources.ts';
import type { SiteFacts } from './site.ts';
import { certificateShown, type View } from './status.ts';

export interface ObservedPart {
  config: PartConfig;
  /** Unknown while the router has not said anything of it. */
  state: PartState | undefined;
  traffic: Traffic | undefined;
}

export interface Observation {
  site: SiteFacts;
  parts: ObservedPart[];
  /** Of documents that show one, or are issued one; `expiration`: epoch, ms. */
  certificates: { kind: Kind; name: string; expiration: number }[];
  router: RouterFacts | null;
}

export function observationOf(site: SiteFacts, view: View, { parts, router }: Measurement): Observation {
  const carried = new Map(parts.map((each) => [partKey(each), each]));
  return {
    site,
    router,
    parts: [...view.plan.parts].map(([key, config]) => ({
      config,
      state: view.states.get(key),
      traffic: carried.get(key),
    })),
    certificates: view.resources.flatMap((resource) => {
      const certificate = certificateShown(resource, view);
      return certificate === undefined
        ? []
        : [{ kind: resource.kind, name: resource.name, expiration: expirationOf(certificate) }];
    }),
  };
}
