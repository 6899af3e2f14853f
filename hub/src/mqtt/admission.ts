import {
  batchBytesMax,
  birthBytesMax,
  blockRequestBytesMax,
  reportBytesMax,
  stateBytesMax,
} from '@godwit/protocol/limits'
import { deviceMay, parseUpTopic, type UpKind, type UpTopic } from '@godwit/protocol/topics'
import type { Services } from '../services.ts'

export type Admission =
  | { admitted: true; up: UpTopic }
  /** `not_authorised`: a device has no business there. `too_long`: it has, but not with that much. */
  | { admitted: false; because: 'not_authorised' | 'too_long'; detail: string }

/** Bytes of payload per kind of topic; each limit has its reason in the protocol. */
const payloadBytesMax: Record<UpKind, number> = {
  state: stateBytesMax,
  birth: birthBytesMax,
  reported: reportBytesMax,
  progress: stateBytesMax,
  telemetry: batchBytesMax,
  'block-request': blockRequestBytesMax,
}

/** Kept for whoever comes later, by SPEC 2.3. Retaining anything else would only fill the broker's memory. */
const retainable: ReadonlySet<UpKind> = new Set(['state', 'reported'])

/** May this device say this here? Shape and size only; what it says is the bridge's business. */
export function admit(
  fleet: string,
  deviceId: string,
  packet: { topic: string; bytes: number; retain: boolean },
): Admission {
  const { topic, bytes, retain } = packet
  const up = deviceMay(fleet, deviceId, 'publish', topic) ? parseUpTopic(topic) : undefined
  if (!up) return refuse('not_authorised', `${deviceId} may not publish on ${topic}`)
  if (retain && !retainable.has(up.kind)) return refuse('not_authorised', `${topic} must not be retained`)
  const bytesMax = payloadBytesMax[up.kind]
  if (bytes > bytesMax) return refuse('too_long', `${topic}: ${bytes} bytes, at most ${bytesMax}`)
  return { admitted: true, up }
}

function refuse(because: 'not_authorised' | 'too_long', detail: string): Admission {
  return { admitted: false, because, detail }
}

/** Client id, user name and device are one and the same; the password is the device's own signature (SPEC 2.5, 3.4). */
export async function mayConnect(
  { fleet, log }: Pick<Services, 'fleet' | 'log'>,
  clientId: string,
  username: string | undefined,
  password: string | undefined,
): Promise<boolean> {
  if (!clientId || clientId !== username || !password) {
    log.info(
      { clientId, username },
      'MQTT: expected client id and user name to be the device id, and a device token',
    )
    return false
  }
  const verdict = await fleet.authenticate(clientId, password, 'mqtt')
  if (!verdict.trusted)
    log.info({ clientId, because: verdict.because, detail: verdict.detail }, 'MQTT: refused')
  return verdict.trusted
}
