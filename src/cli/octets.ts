/** A number of octets in few characters: `1.5M`. */
export function octets(number: number): string {
  const unit = ['', 'K', 'M', 'G', 'T'];
  const power = number < 1_000 ? 0 : Math.min(4, Math.floor(Math.log10(number) / 3));
  return power === 0 ? String(number) : `${(number / 1_000 ** power).toFixed(1)}${unit[power]}`;
}
