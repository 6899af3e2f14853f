import { useState } from 'react'
import { Field } from './form.tsx'

/** A password that is chosen, typed twice. `ready` once it is long enough and the same. */
export function useNewPassword(lengthMin: number) {
  const [password, setPassword] = useState('')
  const [repeated, setRepeated] = useState('')
  const fields = (
    <>
      <Field
        label="Password"
        type="password"
        value={password}
        onChange={setPassword}
        autoComplete="new-password"
        hint={`At least ${lengthMin} characters; a few words do well.`}
      />
      <Field
        label="The same again"
        type="password"
        value={repeated}
        onChange={setRepeated}
        autoComplete="new-password"
        {...(repeated !== '' && repeated !== password && { hint: 'Not the same yet.' })}
      />
    </>
  )
  return { password, ready: password.length >= lengthMin && password === repeated, fields }
}
