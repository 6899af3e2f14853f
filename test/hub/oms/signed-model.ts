import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { encodeBundle } from '@godwit/hub/oms/bundle'
import { inTotoPayloadType, preAuthEncoding } from '@godwit/hub/oms/dsse'
import { ecSign, hintOf } from '@godwit/hub/oms/ec-key'
import { scratch } from '../support/scratch.ts'

export const ecPair = (namedCurve = 'prime256v1') => generateKeyPairSync('ec', { namedCurve })

/** A directory with these files. */
export function modelOf(files: Record<string, string>): string {
  const directory = join(scratch(), 'defect-detector')
  mkdirSync(directory)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  return directory
}

export const sampleModel = () => modelOf({ 'model.onnx': 'weights', 'labels.txt': 'ok', 'a/b.json': '{}' })

// biome-ignore lint/suspicious/noExplicitAny: hostile bundles have any shape
export type Loose = any

export function statementIn(bundle: Uint8Array): Loose {
  const { dsseEnvelope } = JSON.parse(Buffer.from(bundle).toString('utf8'))
  return JSON.parse(Buffer.from(dsseEnvelope.payload, 'base64').toString('utf8'))
}

/** The same bundle with another inside, honestly signed: what a signer with a bad tool, or bad will, could make. */
export function resigned(
  bundle: Uint8Array,
  key: KeyObject,
  change: (statement: Loose) => void,
  payloadType = inTotoPayloadType,
): Uint8Array {
  const statement = statementIn(bundle)
  change(statement)
  const payload = Buffer.from(JSON.stringify(statement))
  const signature = ecSign(key, preAuthEncoding(payloadType, payload))
  return altered(encodeBundle(payload, signature, hintOf(key)), (outside) => {
    outside.dsseEnvelope.payloadType = payloadType
  })
}

/** The same bundle with another outside, not signed again. */
export function altered(bundle: Uint8Array, change: (outside: Loose) => void): Uint8Array {
  const outside = JSON.parse(Buffer.from(bundle).toString('utf8'))
  change(outside)
  return Buffer.from(JSON.stringify(outside))
}

export const textOf = (path: string) => readFileSync(path, 'utf8')
