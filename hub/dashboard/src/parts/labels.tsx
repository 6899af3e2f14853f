export function Labels({ of }: { of: Record<string, string> }) {
  const labels = Object.entries(of)
  if (labels.length === 0) return <span className="muted">none</span>
  return (
    <span className="labels">
      {labels.map(([key, value]) => (
        <span key={key} className="label">
          {key}={value}
        </span>
      ))}
    </span>
  )
}
