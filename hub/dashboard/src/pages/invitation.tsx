import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { useLocation, useNavigate } from 'react-router'
import { api } from '../api.ts'
import { Alone } from '../parts/alone.tsx'
import { Trouble, Waiting } from '../parts/answer.tsx'
import { Field, Form } from '../parts/form.tsx'
import { ask } from '../queries.ts'

/** Where an invitation leads: its secret stands behind the #, which no server on the way reads. */
export function InvitationPage() {
  const { hash } = useLocation()
  const navigate = useNavigate()
  const client = useQueryClient()
  const link = hash.slice(1)
  const invited = useQuery({
    queryKey: ['invitation', link],
    queryFn: () => api.invitation(link),
    retry: false,
    refetchInterval: false,
  })
  const [password, setPassword] = useState('')
  const [repeated, setRepeated] = useState('')
  if (invited.error)
    return (
      <Alone title="This invitation is over">
        <Trouble error={invited.error} />
        <p>Each works once and for a few days. Ask whoever sent it for another one.</p>
      </Alone>
    )
  if (!invited.data)
    return (
      <Alone title="Invitation">
        <Waiting />
      </Alone>
    )
  const { name, roles, passwordLengthMin } = invited.data
  const isLongEnough = password.length >= passwordLengthMin
  return (
    <Alone title={`Welcome, ${name}`}>
      <p>You may use this hub as {roles.join(', ')}. Choose a password.</p>
      <Form
        action="Choose and log in"
        ready={isLongEnough && password === repeated}
        onSubmit={async () => {
          await api.acceptInvitation(link, password)
          await client.resetQueries({ queryKey: ask.session.queryKey })
          await navigate('/', { replace: true })
        }}
      >
        <Field label="Name" value={name} onChange={() => {}} autoComplete="username" />
        <Field
          label="Password"
          type="password"
          value={password}
          onChange={setPassword}
          autoComplete="new-password"
          hint={`At least ${passwordLengthMin} characters; a few words do well.`}
        />
        <Field
          label="The same again"
          type="password"
          value={repeated}
          onChange={setRepeated}
          autoComplete="new-password"
          {...(repeated !== '' && repeated !== password && { hint: 'Not the same yet.' })}
        />
      </Form>
    </Alone>
  )
}
