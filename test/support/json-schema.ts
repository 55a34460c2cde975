/** JSON Schema, as far as our own description of the local API uses it; a keyword it does not know is an error. */

type Schema = Record<string, unknown>;

/** What is wrong with `value`, a line each, with the place. */
export function violations(value: unknown, schema: Schema, root: object, place = '$'): string[] {
  const found: string[] = [];
  for (const [keyword, argument] of Object.entries(schema)) {
    const check = keywords[keyword];
    if (!check) throw new Error(`unknown keyword ${keyword} at ${place}`);
    found.push(...check(value, argument as never, { schema, root, place }));
  }
  return found;
}

interface Context {
  schema: Schema;
  root: object;
  place: string;
}
type Keyword = (value: unknown, argument: never, context: Context) => string[];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const types: Record<string, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  integer: Number.isSafeInteger,
  number: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
  array: Array.isArray,
  object: isObject,
};

const keywords: Record<string, Keyword> = {
  description: () => [],
  type: (value, type: string, { place }) => (types[type](value) ? [] : [`${place} is no ${type}: ${value}`]),
  enum: (value, values: unknown[], { place }) => (values.includes(value) ? [] : [`${place} is ${value}`]),
  minimum: (value, least: number, { place }) =>
    typeof value === 'number' && value < least ? [`${place} is ${value}`] : [],
  format: (value, _: string, { place }) => (Number.isNaN(Date.parse(String(value))) ? [`${place} is no time`] : []),
  anyOf: (value, schemas: Schema[], { root, place }) => {
    const all = schemas.map((each) => violations(value, each, root, place));
    return all.some((each) => each.length === 0) ? [] : all.flat();
  },
  items: (value, schema: Schema, { root, place }) =>
    Array.isArray(value) ? value.flatMap((item, i) => violations(item, schema, root, `${place}[${i}]`)) : [],
  properties: (value, properties: Record<string, Schema>, { root, place }) =>
    isObject(value)
      ? Object.entries(properties).flatMap(([name, schema]) =>
          name in value ? violations(value[name], schema, root, `${place}.${name}`) : [],
        )
      : [],
  required: (value, names: string[], { place }) =>
    isObject(value) ? names.filter((name) => !(name in value)).map((name) => `${place}.${name} is missing`) : [],
  additionalProperties: (value, allowed: boolean, { schema, place }) =>
    allowed || !isObject(value)
      ? []
      : Object.keys(value)
          .filter((name) => !Object.hasOwn(schema.properties as object, name))
          .map((name) => `${place}.${name} is not described`),
  $ref: (value, pointer: string, { root, place }) => {
    const target = pointer
      .slice(2)
      .split('/')
      .reduce<unknown>((at, step) => (at as Schema)[step], root);
    return violations(value, target as Schema, root, place);
  },
};
