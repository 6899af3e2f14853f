import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../../api.ts'
import { Field, Form } from '../../parts/form.tsx'
import { useNewPassword } from '../../parts/new-password.tsx'
import { Section } from '../../parts/page.tsx'

const passwordLengthMin = 12

/** For an administrator whom a link let in: from here on the audit and the approvals know who they are. */
export function AccountForm() {
  const client = useQueryClient()
  const [name, setName] = useState('')
  const { password, ready, fields } = useNewPassword(passwordLengthMin)
  return (
    <Section title="Make yourself an account">
      <p>
        A link let this browser in, and the hub does not know who you are. With an account you can log in
        again, approve rollouts, and let others in.
      </p>
      <Form
        action="Make it and go on as that person"
        ready={name.trim() !== '' && ready}
        onSubmit={async () => {
          await api.makeAccount(name.trim(), password)
          await client.invalidateQueries()
        }}
      >
        <Field
          label="Your name"
          value={name}
          onChange={setName}
          autoComplete="username"
          hint="What you type to log in; it never changes."
        />
        {fields}
      </Form>
    </Section>
  )
}
