import { Link } from 'react-router'
import type { ReleaseRef } from '../api.ts'
import { nameOf } from '../view/device.ts'

const segment = encodeURIComponent

export function ReleaseLink({ of }: { of: ReleaseRef }) {
  return <Link to={`/models/${segment(of.model)}/versions/${segment(of.version)}`}>{nameOf(of)}</Link>
}

export function DeviceLink({ id }: { id: string }) {
  return <Link to={`/devices/${segment(id)}`}>{id}</Link>
}
