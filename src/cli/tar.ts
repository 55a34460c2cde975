/** A tar archive (ustar) of small files in memory. */

const block = 512;

export interface TarFile {
  /** At most 100 octets. */
  name: string;
  content: string | Uint8Array;
}

/** `time`: of all files, in milliseconds since the epoch. */
export function tar(files: TarFile[], time: number): Buffer {
  const parts = files.flatMap(({ name, content }) => {
    const octets = Buffer.from(content);
    return [header(name, octets.length, time), octets, Buffer.alloc(-octets.length & (block - 1))];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

function header(name: string, size: number, time: number): Buffer {
  const result = Buffer.alloc(block);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  result.write(name, 0, 100);
  result.write(octal(0o600, 7), 100);
  result.write(octal(0, 7) + octal(0, 7), 108);
  result.write(octal(size, 11) + octal(Math.floor(time / 1_000), 11), 124);
  // The sum is taken as if its own field were spaces.
  result.write('        0', 148);
  result.write('ustar\x0000', 257);
  const sum = result.reduce((total, octet) => total + octet, 0);
  result.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return result;
}
