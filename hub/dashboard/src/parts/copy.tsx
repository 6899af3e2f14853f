import { useEffect, useState } from 'react'

const thanksMs = 2_000

export function Copy({ text, what }: { text: string; what: string }) {
  const [outcome, setOutcome] = useState('')
  useEffect(() => {
    if (!outcome) return
    const timer = window.setTimeout(() => setOutcome(''), thanksMs)
    return () => clearTimeout(timer)
  }, [outcome])
  return (
    <button
      type="button"
      className="copy"
      aria-label={`Copy ${what}`}
      onClick={async () => setOutcome(await copy(text))}
    >
      <span aria-live="polite">{outcome || 'copy'}</span>
    </button>
  )
}

/** Plain HTTP on another machine's address has no clipboard: then the text is there to be selected. */
async function copy(text: string): Promise<string> {
  try {
    await navigator.clipboard.writeText(text)
    return 'copied'
  } catch {
    return 'select it'
  }
}

/** A command to copy. */
export function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <pre>
        <code>{text}</code>
      </pre>
      <Copy text={text} what="command" />
    </div>
  )
}
