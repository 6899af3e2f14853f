import { useState } from 'react'
import { api } from '../../api.ts'
import { Field, Form } from '../../parts/form.tsx'
import { Section } from '../../parts/page.tsx'

export function PasswordForm() {
  const [old, setOld] = useState('')
  const [next, setNext] = useState('')
  const [isDone, setDone] = useState(false)
  return (
    <Section title="Password">
      <Form
        action="Change it"
        ready={old !== '' && next.length >= 12}
        onSubmit={async () => {
          await api.changePassword(old, next)
          setOld('')
          setNext('')
          setDone(true)
        }}
      >
        <Field
          label="The old one"
          type="password"
          value={old}
          onChange={setOld}
          autoComplete="current-password"
        />
        <Field
          label="The new one"
          type="password"
          value={next}
          onChange={setNext}
          autoComplete="new-password"
          hint="At least 12 characters. Every other browser of yours is logged out."
        />
      </Form>
      <p aria-live="polite">{isDone && 'Changed.'}</p>
    </Section>
  )
}
