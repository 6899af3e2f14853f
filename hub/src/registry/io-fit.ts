import type { Release, TensorInfo } from '@godwit/protocol/release/release'
import type { OnnxInfo, OnnxTensor } from './onnx-file.ts'

/** Where a variant's file and the release's words about it differ; empty when they fit. */
export function misfitsOfVariant(info: OnnxInfo, release: Pick<Release, 'io' | 'requires'>): string[] {
  return [
    ...misfitsOfSide('input', info.inputs, release.io.inputs),
    ...misfitsOfSide('output', info.outputs, release.io.outputs),
    ...misfitsOfRequirements(info, release.requires),
  ]
}

function misfitsOfSide(side: 'input' | 'output', found: OnnxTensor[], promised: TensorInfo[]): string[] {
  const misfits = promised.flatMap((want) => {
    const have = found.find(({ name }) => name === want.name)
    if (have) return misfitsOfTensor(side, have, want)
    return [`${side} ${want.name}: not in the model, which has ${list(found.map(({ name }) => name))}`]
  })
  // A release may leave out outputs it does not use; a missing input could not be fed.
  if (side === 'output') return misfits
  const unfed = found.filter(({ name }) => !promised.some((want) => want.name === name))
  return [
    ...misfits,
    ...unfed.map(({ name }) => `input ${name}: the model needs it, the release does not name it`),
  ]
}

function misfitsOfTensor(side: string, have: OnnxTensor, want: TensorInfo): string[] {
  if (have.dtype !== want.dtype) {
    return [
      `${side} ${want.name}: the release says ${want.dtype}, the model has ${have.dtype ?? 'no tensor there'}`,
    ]
  }
  if (!have.shape || isSameShape(have.shape, want.shape)) return []
  return [`${side} ${want.name}: the release says shape [${want.shape}], the model has [${have.shape}]`]
}

/** A free dimension in the file may be fixed by the release, because devices then always ask for that size. */
function isSameShape(have: TensorInfo['shape'], want: TensorInfo['shape']): boolean {
  return (
    have.length === want.length && have.every((size, axis) => typeof size === 'string' || size === want[axis])
  )
}

/** A device decides by `requires` whether it can load the file, so it must not promise less than the file needs. */
export function misfitsOfRequirements(info: OnnxInfo, requires: Release['requires']): string[] {
  const misfits: string[] = []
  for (const [domain, version] of Object.entries(info.opset)) {
    const said = Object.hasOwn(requires.opset, domain) ? requires.opset[domain]! : undefined
    if (said === undefined)
      misfits.push(`requires.opset: the model imports ${domain} ${version}, which is not named`)
    else if (said < version)
      misfits.push(`requires.opset: ${domain} ${said}, and the model imports ${version}`)
  }
  if (requires.irVersion < info.irVersion) {
    misfits.push(`requires.irVersion: ${requires.irVersion}, and the model has ${info.irVersion}`)
  }
  return misfits
}

function list(names: string[]): string {
  return names.length === 0 ? 'none' : names.slice(0, 8).join(', ') + (names.length > 8 ? ', …' : '')
}
