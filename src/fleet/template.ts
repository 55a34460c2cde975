/** Texts with places to fill in: `{{name}}`, `{{serial}}`, `{{group}}`, `{{site.id}}`, `{{var.x}}`. */
import { SkiffError } from '../errors.ts';
import type { Json } from '../store/documents.ts';

/** What stands for each name in a template; `var.x` are a group's or a device's own. */
export type Values = ReadonlyMap<string, string>;

const place = /\{\{\s*([^{}]*?)\s*\}\}/g;

/** The value with its places filled in, in every text, the names of a map too. */
export function fill(value: Json, values: Values): Json {
  if (typeof value === 'string') return fillText(value, values);
  if (Array.isArray(value)) return value.map((item) => fill(item, values));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [fillText(name, values), fill(item, values)]));
}

export function fillText(text: string, values: Values): string {
  return text.replace(place, (_, name: string) => {
    const known = values.get(name);
    if (known === undefined) {
      throw new SkiffError('unknown-variable', `nothing is known for {{${name}}}`, {
        hint: `Set it under variables of the DeviceGroup or Device; known are ${[...values.keys()].join(', ')}`,
      });
    }
    return known;
  });
}
