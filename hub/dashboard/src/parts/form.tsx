import { type ReactNode, useId, useState } from 'react'

/** A form that says what came of it: busy while it runs, the hub's own words when it refuses. */
export function Form(props: {
  action: string
  ready?: boolean
  onSubmit: () => Promise<void>
  children: ReactNode
}) {
  const { action, ready = true, onSubmit, children } = props
  const [busy, setBusy] = useState(false)
  const [refused, setRefused] = useState('')

  async function submit() {
    setBusy(true)
    setRefused('')
    try {
      await onSubmit()
    } catch (error) {
      setRefused((error as Error).message)
    } finally {
      setBusy(false)
    }
  }

  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        if (ready && !busy) void submit()
      }}
    >
      {children}
      {refused && (
        <p className="refused" role="alert">
          {refused}
        </p>
      )}
      <p>
        <button type="submit" className="primary" disabled={!ready || busy}>
          {action}
        </button>
      </p>
    </form>
  )
}

export function Field(props: {
  label: string
  value: string
  onChange: (value: string) => void
  type?: 'text' | 'password' | 'number'
  autoComplete?: string
  hint?: string
}) {
  const { label, value, onChange, type = 'text', autoComplete = 'off', hint } = props
  const id = useId()
  return (
    <p className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type={type}
        value={value}
        autoComplete={autoComplete}
        onChange={(event) => onChange(event.target.value)}
        {...(hint !== undefined && { 'aria-describedby': `${id}-hint` })}
      />
      {hint !== undefined && (
        <span id={`${id}-hint`} className="muted block">
          {hint}
        </span>
      )}
    </p>
  )
}

/** Several of a few, all of them to be seen. */
export function Choices<T extends string>(props: {
  legend: string
  of: readonly T[]
  chosen: readonly T[]
  onChange: (chosen: T[]) => void
}) {
  const { legend, of, chosen, onChange } = props
  return (
    <fieldset className="choices">
      <legend>{legend}</legend>
      {of.map((one) => (
        <label key={one}>
          <input
            type="checkbox"
            checked={chosen.includes(one)}
            onChange={({ target }) =>
              onChange(of.filter((other) => (other === one ? target.checked : chosen.includes(other))))
            }
          />
          {one}
        </label>
      ))}
    </fieldset>
  )
}
