/** Keys and secrets as people paste them. */

/** Names the first character that no key and no secret has and that mostly does not show: one beyond ASCII, or a control character other than white space. */
export function stranger(text: string): string {
  // All before it is ASCII.
  const index = text.search(/[^\t-\r -~]/);
  return index < 0 ? "" : `U+${text.codePointAt(index)!.toString(16).toUpperCase().padStart(4, "0")} as its character ${index + 1}`;
}
