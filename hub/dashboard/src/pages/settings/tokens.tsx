import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { type ApiToken, api, may, type Role, roles, type Session } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { Command } from '../../parts/copy.tsx'
import { Choices, Field, Form } from '../../parts/form.tsx'
import { Section } from '../../parts/page.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { Ago } from '../../parts/time.tsx'
import { ask } from '../../queries.ts'

const ofProgram = 'a program’s, and works on when my account is disabled'

/** For programs, and for the command line of a person. */
export function Tokens({ me }: { me: Session }) {
  const client = useQueryClient()
  const tokens = useQuery(ask.tokens)
  const renew = () => client.invalidateQueries({ queryKey: ask.tokens.queryKey })
  const columns: readonly Column<ApiToken>[] = [
    { head: 'Name', cell: ({ name }) => name },
    { head: 'Of', wide: true, cell: ({ owner }) => owner ?? 'a program' },
    { head: 'May', cell: ({ scopes, roles: held }) => (scopes ?? held).join(', ') },
    { head: 'Used', cell: ({ lastUsedAt }) => (lastUsedAt ? <Ago at={lastUsedAt} /> : 'never') },
    {
      head: 'Ends',
      wide: true,
      cell: ({ expiresAt, revokedAt }) =>
        revokedAt ? 'revoked' : expiresAt ? String(expiresAt).slice(0, 10) : 'never',
    },
    {
      head: '',
      cell: ({ id, name, revokedAt }) =>
        !revokedAt && (
          <button
            type="button"
            aria-label={`Revoke ${name}`}
            onClick={() => void api.revokeToken(id).then(renew)}
          >
            Revoke
          </button>
        ),
    },
  ]
  return (
    <Section title={may(me, 'admin') ? 'API tokens' : 'Your API tokens'}>
      <Answer to={tokens}>
        {({ items }) => (
          <Table caption="API tokens" columns={columns} rows={items} keyOf={({ id }) => id} empty="None" />
        )}
      </Answer>
      {(me.user || may(me, 'admin')) && <NewToken me={me} onMade={renew} />}
    </Section>
  )
}

function NewToken({ me, onMade }: { me: Session; onMade: () => Promise<void> }) {
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<Role[]>(['viewer'])
  const [days, setDays] = useState('90')
  const [scopes, setScopes] = useState('')
  const [isOfProgram, setOfProgram] = useState(false)
  const [made, setMade] = useState('')
  return (
    <details>
      <summary>Make a token</summary>
      <Form
        action="Make it"
        ready={name.trim() !== '' && chosen.length > 0 && Number(days) > 0}
        onSubmit={async () => {
          const narrowed = scopes.split(/[\s,]+/).filter(Boolean)
          const wish = {
            name: name.trim(),
            roles: chosen,
            ...(narrowed.length > 0 && { scopes: narrowed }),
            ...(isOfProgram && { ofProgram: true }),
          }
          setMade((await api.createToken(wish, Number(days))).token)
          setName('')
          await onMade()
        }}
      >
        <Field label="What it is for" value={name} onChange={setName} />
        <Choices
          legend="What it may do"
          of={roles.filter((role) => role === 'viewer' || may(me, role))}
          chosen={chosen}
          onChange={setChosen}
        />
        <Field
          label="Only"
          value={scopes}
          onChange={setScopes}
          hint="Narrower than that, if you like: read, operate, approve, publish, or publish:kettle-* for some models."
        />
        {me.user && may(me, 'admin') && (
          <Choices
            legend="Whose it is"
            of={[ofProgram]}
            chosen={isOfProgram ? [ofProgram] : []}
            onChange={(chosenOnes) => setOfProgram(chosenOnes.length > 0)}
          />
        )}
        <Field label="Days it lives" type="number" value={days} onChange={setDays} />
      </Form>
      {made && (
        <>
          <p>This is the only time it is shown.</p>
          <Command text={made} />
        </>
      )}
    </details>
  )
}
