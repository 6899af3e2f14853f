import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { GoldenCase } from '@godwit/protocol/release/golden'
import { feedsOf, outputsOf } from './golden-run.ts'
import type { OrtSession } from './ort-session.ts'

type Profiled = { enableProfiling: true; profileFilePrefix: string }

/**
 * Runs one golden vector in a session of its own under ONNX Runtime's profiler, the only thing that says where a node
 * ran: its JavaScript interface has nothing to ask for that.
 */
export async function placedNodes(
  sample: GoldenCase,
  open: (profile: Profiled) => Promise<OrtSession>,
): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-profile-'))
  try {
    const session = await open({ enableProfiling: true, profileFilePrefix: join(folder, 'run') })
    try {
      await session.run(feedsOf(session, sample), outputsOf(session, sample))
      session.endProfiling()
    } finally {
      await session.release()
    }
    const [file] = readdirSync(folder)
    return nodesIn(file === undefined ? '[]' : readFileSync(join(folder, file), 'utf8'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

type ProfileEvent = { cat?: string; name?: string; args?: { provider?: string; op_name?: string } }

/** Nodes by provider in a profile of one run. Copies between devices are the price of a split and no work. */
export function nodesIn(profile: string): Record<string, number> {
  const nodes: Record<string, number> = Object.create(null)
  for (const { cat, name, args } of JSON.parse(profile) as ProfileEvent[]) {
    const { provider, op_name: operator = '' } = args ?? {}
    if (cat !== 'Node' || !provider || !name?.endsWith('_kernel_time') || operator.startsWith('Memcpy'))
      continue
    const known = providerNamed(provider)
    nodes[known] = (nodes[known] ?? 0) + 1
  }
  return nodes
}

/** `CUDAExecutionProvider` is `cuda`: the names that a session is asked by. */
export function providerNamed(inProfile: string): string {
  return inProfile.replace(/ExecutionProvider$/, '').toLowerCase()
}
