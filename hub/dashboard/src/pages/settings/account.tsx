import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../../api.ts'
import { Field, Form } from '../../parts/form.tsx'
import { Section } from '../../parts/page.tsx'

const passwordLengthMin = 12

/** For an administrator whom a link let in: from here on the audit and the approvals know who they are. */
export function AccountForm() {
  const client = useQueryClient()
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [repeated, setRepeated] = useState('')
  return (
    <Section title="Make yourself an account">
      <p>
        A link let this browser in, and the hub does not know who you are. With an account you can log in
        again, approve rollouts, and let others in.
      </p>
      <Form
        action="Make it and go on as that person"
        ready={name.trim() !== '' && password.length >= passwordLengthMin && password === repeated}
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
    </Section>
  )
}
