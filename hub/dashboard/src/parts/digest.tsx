import type { Maybe } from '../api.ts'
import { shortDigest, unknown } from '../view/format.ts'
import { Copy } from './copy.tsx'

export function Digest({ of, what = 'digest' }: { of: Maybe<string>; what?: string }) {
  if (!of) return <span className="muted">{unknown}</span>
  return (
    <span className="digest">
      <code title={of}>{shortDigest(of)}</code>
      <Copy text={of} what={what} />
    </span>
  )
}
