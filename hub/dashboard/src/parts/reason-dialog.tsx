import { useEffect, useId, useRef, useState } from 'react'

export type Question = {
  title: string
  /** What will happen, with the number of devices it happens to. */
  consequence: string
  confirm: string
  grave: boolean
  /** To be typed before a deed that touches much of the fleet; absent otherwise. */
  retype?: string | undefined
}

/** Asks why, before anything is done: the answer stays on record beside the deed. */
export function ReasonDialog(props: {
  question: Question
  onAnswer: (reason: string) => Promise<void>
  onClose: () => void
}) {
  const { question, onAnswer, onClose } = props
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  const [reason, setReason] = useState('')
  const [typed, setTyped] = useState('')
  const [refused, setRefused] = useState('')
  const [busy, setBusy] = useState(false)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  const ready = reason.trim() !== '' && (question.retype === undefined || typed === question.retype) && !busy

  async function answer() {
    setBusy(true)
    try {
      await onAnswer(reason.trim())
      onClose()
    } catch (error) {
      setRefused((error as Error).message)
      setBusy(false)
    }
  }

  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={`${id}-title`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (ready) void answer()
        }}
      >
        <h2 id={`${id}-title`}>{question.title}</h2>
        <p>{question.consequence}</p>
        <label htmlFor={`${id}-reason`}>Why? It stays in the timeline.</label>
        <textarea
          id={`${id}-reason`}
          rows={2}
          maxLength={500}
          required
          value={reason}
          onChange={(e) => setReason(e.target.value)}
        />
        {question.retype !== undefined && (
          <>
            <label htmlFor={`${id}-retype`}>
              This touches more than a tenth of the fleet. Type <strong>{question.retype}</strong> to go on.
            </label>
            <input
              id={`${id}-retype`}
              autoComplete="off"
              value={typed}
              onChange={(e) => setTyped(e.target.value)}
            />
          </>
        )}
        {refused && (
          <p className="refused" role="alert">
            {refused}
          </p>
        )}
        <div className="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Leave it
          </button>
          <button type="submit" className={question.grave ? 'grave' : 'primary'} disabled={!ready}>
            {question.confirm}
          </button>
        </div>
      </form>
    </dialog>
  )
}
