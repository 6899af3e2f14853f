/** What `@peculiar/x509` asks of the global `Reflect` while it loads. */
type Reflecting = { getMetadata?: () => undefined; getOwnMetadata?: () => undefined }

/**
 * The library that writes certificates. It costs 20 MB and a tenth of a second, so only a hub that makes its own loads it.
 *
 * It brings a container for constructor arguments that will not start without a polyfill of decorator metadata. Nothing
 * that it keeps there has arguments, so "there is none" is the whole answer, and a dependency less.
 */
export function loadX509(): Promise<typeof import('@peculiar/x509')> {
  const reflecting = Reflect as Reflecting
  reflecting.getMetadata ??= () => undefined
  reflecting.getOwnMetadata ??= () => undefined
  return import('@peculiar/x509')
}
