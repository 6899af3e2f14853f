/**
 * What is wrong with a resource's name, as the end of a sentence. Names are relative POSIX paths that stay inside the
 * model: a signature over `../../etc/passwd` must not make a verifier read it.
 */
export function flawOfName(name: string): string | undefined {
  if (name.startsWith('/')) return 'is an absolute path'
  // A separator on Windows, where this path would be another one.
  if (name.includes('\\') || name.includes('\0')) return 'holds a backslash or a zero byte'
  const parts = name.split('/')
  if (parts.includes('..')) return 'leads out of the model'
  if (parts.includes('') || parts.includes('.')) return 'is not normalised'
  return undefined
}

/** Unicode code points, where the default order of strings compares UTF-16 units. UTF-8 bytes sort the same way. */
export function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'))
}
