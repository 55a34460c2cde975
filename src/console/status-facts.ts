/**
 * What a site tells of itself to whoever stands before it: a clerk who reads it out on the phone, and whoever is at the
 * other end of the line. Everything here is known without asking anybody, and none of it is a secret.
 */
import type { AgentState, DeviceFacts } from '../fleet/agent.ts';
import type { MemberFacts } from '../fleet/member.ts';
import type { LogRecord } from '../log.ts';
import type { RenderedDocument } from '../site/render.ts';
import type { Kind } from '../site/resources.ts';
import type { Site } from '../site/site.ts';

/** How something is: in order, to be waited for, or for somebody to mend. */
export type Mood = 'good' | 'waiting' | 'bad';

/** One thing of several, such as a link or a service. */
export interface Entry {
  name: string;
  mood: Mood;
  /** Plain words, without a full stop. */
  text: string;
  /** What whoever helps wants to hear: codes, addresses, times. */
  details: string[];
}

export interface Warning {
  code: string;
  title: string;
  severity: 'warning' | 'error';
  /** Whether it may be why nothing gets through. */
  hurtsConnection: boolean;
  hint: string | null;
}

export interface StatusFacts {
  headline: { mood: Mood; title: string; text: string };
  /** The device's fingerprint, to be read out. */
  words: string | null;
  /** Label and value. */
  identity: [label: string, value: string][];
  claim: { text: string; tried: { place: string; outcome: string }[] } | null;
  links: Entry[];
  services: Entry[];
  /** The latest first. */
  errors: { time: number; text: string; code: string | null }[];
  warnings: Warning[];
  /** Of this machine's clock: milliseconds since the epoch. */
  now: number;
}

/** Where the facts come from. */
export interface StatusSources {
  site: Site;
  device(): DeviceFacts;
  controller(): MemberFacts | null;
  log(): LogRecord[];
  warnings(): { code: string; message: string; hint?: string }[];
  version: string;
  startedAt: number;
  now(): number;
}

const mostErrors = 10;
/** A clock that says this is before Skiff was there is wrong. */
const earliest = Date.UTC(2025, 0, 1);
/** A certificate that ends this soon has not been renewed when it was due: days. */
const soon = 14;

export function statusFacts(sources: StatusSources): StatusFacts {
  const { site, device, controller, log, now } = sources;
  const facts = device();
  const links = list(site, 'Link').map(linkEntry);
  const services = [
    ...list(site, 'Listener').map(listenerEntry),
    ...list(site, 'MultiKeyListener').map(listenerEntry),
    ...list(site, 'Connector').map(connectorEntry),
  ];
  const member = controller();
  return {
    headline: headlineOf(facts, site, links),
    words: facts.words,
    identity: identityOf(sources, facts, member),
    claim: facts.state === 'by-hand' ? null : { text: claimText(facts), tried: facts.tried },
    links,
    services,
    errors: log()
      .filter(({ level }) => level === 'error' || level === 'warn')
      .slice(-mostErrors)
      .reverse()
      .map(({ time, message, fields }) => ({ time, text: message, code: text(fields?.code) })),
    warnings: [...warningsOf(sources, member), ...list(site, 'Link').flatMap(certificateWarning)],
    now: now(),
  };
}

function headlineOf(facts: DeviceFacts, site: Site, links: Entry[]): StatusFacts['headline'] {
  const waits: Partial<Record<AgentState, StatusFacts['headline']>> = {
    unclaimed: {
      mood: 'waiting',
      title: 'This device has not been set up',
      text: 'It looks for a claim, the file that lets it join, and has found none. Plug in the stick that came with it, or call whoever sent the device.',
    },
    asking: {
      mood: 'waiting',
      title: 'This device is asking to join',
      text: `It has a claim and asks ${facts.hub.join(', ') || 'the hub'}. This takes a moment when the network is there.`,
    },
    pending: {
      mood: 'waiting',
      title: 'This device waits for approval',
      text: 'It has asked, and somebody has to let it in. Read out the six words below to whoever does that.',
    },
    refused: {
      mood: 'bad',
      title: 'This device was refused',
      text: 'It does not ask again by itself. Call whoever sent the device, and read out what is below.',
    },
  };
  const waiting = waits[facts.state];
  if (waiting && site.facts.site === null) return waiting;
  if (facts.state === 'revoked') {
    const text =
      'What is served in this building goes on, but there is no way to the others any more. Call whoever sent it.';
    return { mood: 'bad', title: 'This device has been revoked', text };
  }
  if (links.length === 0) {
    const title = site.facts.mode === 'interior' ? 'This site is running' : 'This site runs by itself';
    return { mood: 'good', title, text: 'It has no link to another site, and needs none for what it does here.' };
  }
  const up = links.find(({ mood }) => mood === 'good');
  if (up) return { mood: 'good', title: 'This site is connected', text: `The link ${up.name} is ${up.text}.` };
  const bad = links.every(({ mood }) => mood === 'bad');
  return {
    mood: bad ? 'bad' : 'waiting',
    title: 'This site has no connection',
    text: bad
      ? 'Everything in this building goes on without it. It does not come back by itself: read out what is below.'
      : 'Everything in this building goes on without it. It is tried again and again by itself; check that the network cable is plugged in and that others have internet.',
  };
}

function claimText({ state, claim, hub, error, attempts, nextAttemptTime, enrolledTime }: DeviceFacts): string {
  const from = claim === null ? '' : ` with the claim ${claim}`;
  const where = hub.length > 0 ? ` at ${hub.join(', ')}` : '';
  const why = error ? ` ${error.message} [${error.code}].` : '';
  const next = nextAttemptTime === null ? '' : ` The next try is at ${nextAttemptTime}.`;
  switch (state) {
    case 'unclaimed':
      return `No claim was found.${why}`;
    case 'asking':
      return `Asking${from}${where}, ${attempts} ${attempts === 1 ? 'try' : 'tries'} so far.${why}${next}`;
    case 'pending':
      return `Waiting for approval${from}${where}.${next}`;
    case 'refused':
      return `Refused${from}${where}.${why}`;
    default:
      return `Joined${from}${where}${enrolledTime === null ? '' : ` on ${enrolledTime}`}.`;
  }
}

function identityOf(
  { site, version, startedAt }: StatusSources,
  { device, identity }: DeviceFacts,
  member: MemberFacts | null,
): StatusFacts['identity'] {
  const known: [string, string | null | undefined][] = [
    ['Name', site.facts.site],
    ['Group', device?.group],
    ['Serial number', identity?.serial],
    ['Model', identity?.model],
    ['Network cards', identity?.macs.join(', ')],
    ['Site id', site.facts.id],
    ['Skiff version', version],
    ['Running since', time(startedAt)],
    // The link and the controller are two: each may be there without the other.
    ['Head office last answered', member && (member.heardAt === null ? 'not since the start' : time(member.heardAt))],
    ['Configuration', member && `number ${member.applied}${member.trying === null ? '' : `, trying ${member.trying}`}`],
    ['Configuration trouble', member?.error],
  ];
  return known.flatMap(([label, value]) => (value ? [[label, value] as [string, string]] : []));
}

function linkEntry({ metadata: { name }, status }: RenderedDocument): Entry {
  const { endpoint, remoteSiteName, error, nextAttemptTime, facts } = (status ?? {}) as {
    endpoint?: { host: string; port: string };
    remoteSiteName?: string;
    error?: { code: string; message: string };
    nextAttemptTime?: string;
    facts?: { roundTripMs: number | null; reconnects: number };
  };
  const to = remoteSiteName ?? endpoint?.host ?? 'the hub';
  const details = [
    ...(endpoint ? [`endpoint ${endpoint.host}:${endpoint.port}`] : []),
    ...(error ? [`${error.message} [${error.code}]`] : []),
    ...(nextAttemptTime ? [`next try ${nextAttemptTime}`] : []),
    ...(facts?.roundTripMs != null ? [`round trip ${facts.roundTripMs} ms`] : []),
    ...(facts?.reconnects ? [`${facts.reconnects} reconnects`] : []),
  ];
  if (status?.status === 'Ready') return { name, mood: 'good', text: `connected to ${to}`, details };
  if (status?.status === 'Error') return { name, mood: 'bad', text: `refused by ${to}, or unable to connect`, details };
  return { name, mood: 'waiting', text: `trying to reach ${to}`, details };
}

function listenerEntry({ metadata: { name }, spec, status }: RenderedDocument): Entry {
  const { host, port } = spec as { host: string; port: number };
  const { error } = (status ?? {}) as { error?: { code: string; message: string } };
  const details = [`this device, port ${port} (${host})`, ...(error ? [`${error.message} [${error.code}]`] : [])];
  if (error?.code === 'address-refused') {
    return { name, mood: 'bad', text: 'not allowed for this device', details };
  }
  if (status?.status === 'Error') return { name, mood: 'bad', text: 'cannot be opened here', details };
  if (status?.status === 'Ready') return { name, mood: 'good', text: 'ready to be used', details };
  return { name, mood: 'waiting', text: 'closed, because nobody offers it at the moment', details };
}

function connectorEntry({ metadata: { name }, spec, status }: RenderedDocument): Entry {
  const { host, port } = spec as { host?: string; port: number };
  const { error, hasMatchingListener } = (status ?? {}) as {
    error?: { code: string; message: string };
    hasMatchingListener?: boolean;
  };
  const details = [`${host}:${port}`, ...(error ? [`${error.message} [${error.code}]`] : [])];
  if (error?.code === 'address-refused') {
    return { name, mood: 'bad', text: 'not allowed for this device', details };
  }
  if (error) return { name, mood: 'bad', text: `${host} does not answer: is it switched on?`, details };
  if (hasMatchingListener) return { name, mood: 'good', text: 'offered, and others can use it', details };
  return { name, mood: 'waiting', text: 'offered, and nobody asks for it', details };
}

function warningsOf({ warnings, now }: StatusSources, member: MemberFacts | null): Warning[] {
  const known = warnings().map(({ code, message, hint = null }): Warning => {
    return { code, title: message, severity: 'warning', hurtsConnection: false, hint };
  });
  if (member?.error) {
    const [title, hint] = [`What head office wants could not be taken over: ${member.error}`, null];
    known.push({ code: 'configuration', title, severity: 'warning', hurtsConnection: false, hint });
  }
  if (now() < earliest) {
    const title = 'The clock of this device is wrong';
    const hint = 'Certificates may not be believed until it is right; it is set by itself once the hub answers';
    known.push({ code: 'clock', title, severity: 'error', hurtsConnection: true, hint });
  }
  return known;
}

function certificateWarning({ metadata: { name }, status }: RenderedDocument): Warning[] {
  const { facts } = (status ?? {}) as { facts?: { certificateDaysLeft?: number | null } };
  const left = facts?.certificateDaysLeft;
  if (left == null || left > soon) return [];
  const title = left < 0 ? `The certificate of ${name} has ended` : `The certificate of ${name} ends in ${left} days`;
  const hint = 'It is renewed by itself when the hub can be reached';
  return [{ code: 'certificate', title, severity: left < 0 ? 'error' : 'warning', hurtsConnection: left < 0, hint }];
}

function list(site: Site, kind: Kind): RenderedDocument[] {
  return site.list(kind, { showSecrets: false });
}

const time = (at: number): string => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
