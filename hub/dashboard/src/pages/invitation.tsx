import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useLocation, useNavigate } from 'react-router'
import { api, type Invited } from '../api.ts'
import { Alone } from '../parts/alone.tsx'
import { Trouble, Waiting } from '../parts/answer.tsx'
import { Field, Form } from '../parts/form.tsx'
import { useNewPassword } from '../parts/new-password.tsx'
import { ask } from '../queries.ts'

/** Where an invitation leads: its secret stands behind the #, which no server on the way reads. */
export function InvitationPage() {
  const { hash } = useLocation()
  const link = hash.slice(1)
  const invited = useQuery({
    queryKey: ['invitation', link],
    queryFn: () => api.invitation(link),
    retry: false,
    refetchInterval: false,
  })
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
  return <Welcome invited={invited.data} link={link} />
}

function Welcome({ invited, link }: { invited: Invited; link: string }) {
  const navigate = useNavigate()
  const client = useQueryClient()
  const { password, ready, fields } = useNewPassword(invited.passwordLengthMin)
  return (
    <Alone title={`Welcome, ${invited.name}`}>
      <p>You may use this hub as {invited.roles.join(', ')}. Choose a password.</p>
      <Form
        action="Choose and log in"
        ready={ready}
        onSubmit={async () => {
          await api.acceptInvitation(link, password)
          await client.resetQueries({ queryKey: ask.session.queryKey })
          await navigate('/', { replace: true })
        }}
      >
        <Field label="Name" value={invited.name} onChange={() => {}} autoComplete="username" />
        {fields}
      </Form>
    </Alone>
  )
}
