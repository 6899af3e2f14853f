import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../api.ts'
import { Alone } from '../parts/alone.tsx'
import { Command } from '../parts/copy.tsx'
import { Field, Form } from '../parts/form.tsx'
import { ask } from '../queries.ts'

/** Why single sign-on sent somebody back, in words for them; details are in the hub's log and audit. */
const refusals: Record<string, string> = {
  not_begun: 'That login was begun in another browser, or too long ago. Try again.',
  refused_by_provider: 'The login was refused by your identity provider.',
  answer_not_valid: 'The answer of your identity provider was not valid. Ask whoever runs this hub.',
  name_not_usable:
    'Your identity provider gives you no name that can be used here. Ask whoever runs this hub.',
  email_not_verified: 'Your identity provider has not verified your address. Ask whoever runs this hub.',
  no_role: 'You are known, and you have no role here yet. Ask whoever runs this hub.',
  name_taken: 'Somebody else has your name here. Ask whoever runs this hub.',
  disabled: 'Your account here is disabled.',
}

export function LoginPage() {
  const client = useQueryClient()
  const ways = useQuery(ask.loginWays)
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const because = new URLSearchParams(window.location.search).get('refused') ?? ''
  const refused = Object.hasOwn(refusals, because) ? refusals[because] : undefined
  const again = () => client.resetQueries({ queryKey: ask.session.queryKey })
  return (
    <Alone title="Log in">
      {refused && (
        <p className="refused" role="alert">
          {refused}
        </p>
      )}
      {ways.data?.oidc && (
        <p>
          <a className="button primary" href="/login/oidc">
            {ways.data.oidc.label}
          </a>
        </p>
      )}
      <Form
        action="Log in"
        ready={name !== '' && password !== ''}
        onSubmit={async () => {
          await api.login(name, password)
          await again()
        }}
      >
        <Field label="Name" value={name} onChange={setName} autoComplete="username" />
        <Field
          label="Password"
          type="password"
          value={password}
          onChange={setPassword}
          autoComplete="current-password"
        />
      </Form>
      <details>
        <summary>I have no password here</summary>
        <p>On a machine that is logged in to this hub, run</p>
        <Command text="godwit dashboard" />
        <p>
          and open the link that it prints. It works once and logs this browser in. At its very first start
          the hub prints such a link itself. A person gets an account with{' '}
          <code>godwit user create NAME --role ROLE</code>.
        </p>
        <p>
          <button type="button" onClick={() => void again()}>
            Try again
          </button>
        </p>
      </details>
    </Alone>
  )
}
