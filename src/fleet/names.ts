/** What devices are called: their group's template, filled in so that no two have one name. */
import type { Identity } from '../enrol/protocol.ts';

const defaultTemplate = '{group}-{seq}';
/** A name is a part of host names and of router ids. */
const longestName = 48;

/** `count`: how many devices there are, from which numbering goes on; `isTaken`: whether a name belongs to another. */
export function deviceName(
  template = defaultTemplate,
  group: string,
  identity: Identity & { serial: string | null },
  count: number,
  isTaken: (name: string) => boolean,
): string {
  const facts: Record<string, string> = {
    group,
    serial: identity.serial ?? identity.macs[0] ?? 'unknown',
    model: identity.model ?? 'unknown',
    mac: identity.macs[0] ?? 'unknown',
  };
  const filled = (seq: number) =>
    tidy(template.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'seq' ? String(seq) : facts[name])));
  if (template.includes('{seq}')) {
    for (let seq = count + 1; ; seq++) if (!isTaken(filled(seq))) return filled(seq);
  }
  const name = filled(0);
  if (!isTaken(name)) return name;
  for (let nth = 2; ; nth++) if (!isTaken(`${name}-${nth}`)) return `${name}-${nth}`;
}

/** In the letters that a name may have. */
function tidy(text: string): string {
  const letters = text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  const [first, last] = [letters.slice(0, longestName / 2), letters.slice(longestName / 2)];
  // The end is what tells names apart.
  const short = letters.length <= longestName ? letters : first + last.slice(-longestName / 2);
  return short.replaceAll(/^-+|-+$/g, '') || 'device';
}
