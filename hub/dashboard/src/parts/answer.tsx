import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Problem } from '../http.ts'
import { Verdict } from './state.tsx'

/** What the hub answered, or that it is still thinking, or why it would not. An old answer stays while a new one fails. */
export function Answer<T>({ to, children }: { to: UseQueryResult<T>; children: (data: T) => ReactNode }) {
  if (to.data !== undefined) {
    return (
      <>
        {to.error && <Trouble error={to.error} old />}
        {children(to.data)}
      </>
    )
  }
  return to.error ? <Trouble error={to.error} /> : <Waiting />
}

export function Waiting() {
  return (
    <p className="waiting" role="status">
      Asking the hub…
    </p>
  )
}

export function Trouble({ error, old = false }: { error: Error; old?: boolean }) {
  const hint = error instanceof Problem ? error.hint : undefined
  const said = error instanceof Problem ? error.message : 'The hub does not answer.'
  return (
    <Verdict tone="warn">
      {said} {hint} {old && 'What follows is the last answer that came.'}
    </Verdict>
  )
}
