import { useQueryClient } from '@tanstack/react-query'
import { Command } from '../parts/copy.tsx'
import { ask } from '../queries.ts'

/** There is no password to guess here: a machine that is logged in makes a link that works once. */
export function LoginPage() {
  const client = useQueryClient()
  return (
    <main className="alone">
      <title>Log in · Godwit</title>
      <p className="brand-name">
        <img src="/favicon.svg" alt="" width="36" height="36" />
        <span>Godwit</span>
      </p>
      <h1>Open a login link</h1>
      <p>On a machine that is logged in to this hub, run</p>
      <Command text="godwit dashboard" />
      <p>and open the link that it prints. It works once and logs this browser in. There is no password.</p>
      <p className="muted">
        This page shows up again when a session has ended. At its very first start the hub prints such a link
        itself.
      </p>
      <p>
        <button type="button" onClick={() => void client.resetQueries({ queryKey: ask.session.queryKey })}>
          Try again
        </button>
      </p>
    </main>
  )
}
