import { useQuery, useQueryClient } from '@tanstack/react-query'
import { api, may, type Session } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Facts } from '../parts/table.tsx'
import { ask } from '../queries.ts'
import { AccountForm } from './settings/account.tsx'
import { PasswordForm } from './settings/password.tsx'
import { Sessions } from './settings/sessions.tsx'
import { Tokens } from './settings/tokens.tsx'
import { Users } from './settings/users.tsx'

/** Who I am here, where I am logged in, and for an admin who else is. */
export function SettingsPage() {
  const session = useQuery(ask.session)
  return (
    <Page title="Settings">
      <Answer to={session}>{(me) => <Parts me={me} />}</Answer>
    </Page>
  )
}

function Parts({ me }: { me: Session }) {
  const client = useQueryClient()
  const logout = async () => {
    await api.logout()
    client.clear()
    window.location.assign('/')
  }
  return (
    <>
      <Section
        title="You"
        side={
          <button type="button" onClick={() => void logout()}>
            Log out
          </button>
        }
      >
        <Facts
          of={[
            ['Name', me.who],
            ['Roles', me.roles.join(', ')],
            [
              'Known through',
              me.user?.oidcIssuer ?? (me.user ? 'this hub' : 'a login link, without an account'),
            ],
          ]}
        />
      </Section>
      {!me.user && may(me, 'admin') && <AccountForm />}
      {me.user?.hasPassword && <PasswordForm />}
      {me.user && <Sessions />}
      <Tokens me={me} />
      {may(me, 'admin') && <Users me={me} />}
    </>
  )
}
