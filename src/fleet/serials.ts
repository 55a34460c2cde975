/** Serial numbers that tell nothing, as makers leave them in firmware. */
const junk = new Set(
  [
    '',
    'none',
    'null',
    'n/a',
    'na',
    '-',
    'unknown',
    'invalid',
    'not specified',
    'not available',
    'not applicable',
    'to be filled by o.e.m.',
    'to be filled by o.e.m',
    'o.e.m.',
    'oem',
    'default string',
    'default',
    'system serial number',
    'serial number',
    'chassis serial number',
    'base board serial number',
    'empty',
    'xxxxxxx',
    '123456789',
    '1234567890',
    '0123456789',
  ].map((text) => text.toLowerCase()),
);

/** The serial number as devices are compared by it; null when it does not tell one device from another. */
export function meaningfulSerial(serial: string | null): string | null {
  const text = serial?.trim() ?? '';
  const oneCharacter = /^(.)\1*$/.test(text.replaceAll(/[\s.-]/g, ''));
  return oneCharacter || junk.has(text.toLowerCase()) ? null : text;
}
