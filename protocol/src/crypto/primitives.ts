/**
 * The few primitives that trust needs, provided twice: by node:crypto (about 100 times faster) and by
 * tweetnacl with @noble/hashes where there is no Node. Import them from `#crypto`, which picks one.
 *
 * `ed25519Verify` here is only the curve equation and its behaviour on odd input differs between the two;
 * everybody else calls `verify` in trust/ed25519.ts, which makes them agree.
 */
export type Primitives = {
  sha256(bytes: Uint8Array): Uint8Array
  sha512(bytes: Uint8Array): Uint8Array
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
  ed25519Sign(seed32: Uint8Array, message: Uint8Array): Uint8Array
  ed25519PublicKey(seed32: Uint8Array): Uint8Array
}
