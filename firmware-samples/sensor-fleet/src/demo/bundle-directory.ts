import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildProfile } from '@godwit/protocol/drift/build-profile'
import { streamsOf, type TrainedVersion } from '../trainer.ts'

/** Readings in a drift window: 64 of them are five minutes of weather. */
const driftWindow = 64

/** Writes what a publisher hands to `godwit version publish`: the model beside its proof, pipeline and reference. */
export function writeBundle(
  directory: string,
  version: TrainedVersion,
  onnx: Uint8Array = version.onnx,
): string {
  mkdirSync(directory, { recursive: true })
  const profile = buildProfile(streamsOf(version.profileFeatures), { windowSize: driftWindow })
  const files: Record<string, string | Uint8Array> = {
    'model.onnx': onnx,
    'golden.json': JSON.stringify(version.golden),
    'pipeline.json': JSON.stringify(version.pipeline),
    'profile.json': JSON.stringify(profile),
    'README.md': version.card,
    'bundle.yaml': [
      // Of a machine many times slower than the ones this runs on; a model that needs more is not this one.
      'promises: { p95Micros: 50000, memoryBytes: 536870912 }',
      'provenance: { trainer: "sensor-fleet sample" }',
      '',
    ].join('\n'),
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
  return directory
}
