import type { ReactNode } from 'react'

/** A page before the dashboard: one thing to do. */
export function Alone({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="alone">
      <title>{`${title} · Godwit`}</title>
      <p className="brand-name">
        <img src="/favicon.svg" alt="" width="36" height="36" />
        <span>Godwit</span>
      </p>
      <h1>{title}</h1>
      {children}
    </main>
  )
}
