import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, type Role, roles, type Session, type User } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { Command } from '../../parts/copy.tsx'
import { Choices, Field, Form } from '../../parts/form.tsx'
import { Section } from '../../parts/page.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { Ago } from '../../parts/time.tsx'
import { ask } from '../../queries.ts'

/** For an admin: who uses this hub. A name is never used twice, so people are disabled and not removed. */
export function Users({ me }: { me: Session }) {
  const client = useQueryClient()
  const users = useQuery(ask.users)
  const [changing, setChanging] = useState<User>()
  const [invitation, setInvitation] = useState<{ name: string; url: string }>()
  const renew = () => client.invalidateQueries({ queryKey: ask.users.queryKey })
  const columns: readonly Column<User>[] = [
    { head: 'Name', cell: ({ name }) => name },
    { head: 'Roles', cell: ({ roles: held, disabledAt }) => (disabledAt ? 'disabled' : held.join(', ')) },
    { head: 'Last login', cell: ({ lastLoginAt }) => (lastLoginAt ? <Ago at={lastLoginAt} /> : 'never') },
    { head: '', cell: (user) => user.id !== me.user?.id && <Deeds user={user} /> },
  ]

  function Deeds({ user }: { user: User }) {
    const { name, disabledAt } = user
    const invite = async () => setInvitation({ name, url: (await api.invite(name)).url })
    return (
      <span className="buttons">
        {!disabledAt && (
          <>
            <button type="button" aria-label={`Roles of ${name}`} onClick={() => setChanging(user)}>
              Roles
            </button>
            {!user.oidcIssuer && (
              <button type="button" aria-label={`Invite ${name} again`} onClick={() => void invite()}>
                New link
              </button>
            )}
          </>
        )}
        <button
          type="button"
          aria-label={`${disabledAt ? 'Enable' : 'Disable'} ${name}`}
          onClick={() => void api.setDisabled(name, !disabledAt).then(renew)}
        >
          {disabledAt ? 'Enable' : 'Disable'}
        </button>
      </span>
    )
  }

  return (
    <Section title="People">
      <Answer to={users}>
        {({ items }) => (
          <Table
            caption="People"
            columns={columns}
            rows={items}
            keyOf={({ id }) => id}
            empty="Nobody has an account yet."
          />
        )}
      </Answer>
      {invitation && (
        <div role="status">
          <p>
            Give this to {invitation.name} and to nobody else. It works once, and is the way to a password of
            their own.
          </p>
          <Command text={invitation.url} />
        </div>
      )}
      {changing && (
        <RolesForm
          key={changing.id}
          user={changing}
          onDone={async () => {
            setChanging(undefined)
            await renew()
          }}
        />
      )}
      <NewUser
        onMade={async (name, url) => {
          setInvitation({ name, url })
          await renew()
        }}
      />
    </Section>
  )
}

function RolesForm({ user, onDone }: { user: User; onDone: () => Promise<void> }) {
  const [chosen, setChosen] = useState<Role[]>(user.roles)
  return (
    <Form
      action={`Set the roles of ${user.name}`}
      ready={chosen.length > 0}
      onSubmit={async () => {
        await api.setRoles(user.name, chosen)
        await onDone()
      }}
    >
      <Choices legend={`What ${user.name} may do`} of={roles} chosen={chosen} onChange={setChosen} />
    </Form>
  )
}

function NewUser({ onMade }: { onMade: (name: string, url: string) => Promise<void> }) {
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<Role[]>(['viewer'])
  return (
    <details>
      <summary>Let somebody in</summary>
      <Form
        action="Make an account"
        ready={name.trim() !== '' && chosen.length > 0}
        onSubmit={async () => {
          const made = await api.createUser(name.trim(), chosen)
          setName('')
          await onMade(made.name, made.invitation.url)
        }}
      >
        <Field
          label="Name"
          value={name}
          onChange={setName}
          hint="What they type to log in; it never changes."
        />
        <Choices legend="What they may do" of={roles} chosen={chosen} onChange={setChosen} />
      </Form>
    </details>
  )
}
