import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { NavLink } from 'react-router'
import { ask } from '../queries.ts'
import { ConnectionLight } from './light.tsx'

const places = [
  { to: '/', text: 'Overview', path: 'M3 9 10 3l7 6v8h-5v-5H8v5H3Z' },
  { to: '/devices', text: 'Devices', path: 'M4 4h12v9H4ZM7 17h6M10 13v4' },
  { to: '/rollouts', text: 'Rollouts', path: 'M3 15h4v-4h4V7h4V3M12 3h3v3' },
  { to: '/models', text: 'Models', path: 'M10 2.5 17 6v8l-7 3.5L3 14V6ZM3 6l7 3.5L17 6M10 9.5V17.5' },
  { to: '/drift', text: 'Drift', path: 'M2 13c3 0 3-6 6-6s3 6 6 6 2-3 4-5M2 17h16' },
  { to: '/energy', text: 'Energy & carbon', short: 'Energy', path: 'M11 2 4 11h5l-1 7 7-9h-5Z' },
]

/** A person's head and shoulders. */
const settingsPath = 'M10 10a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4ZM3.5 17c.6-3.4 3.2-5 6.5-5s5.9 1.6 6.5 5'

function SettingsLink({ className }: { className: string }) {
  return (
    <NavLink to="/settings" className={className} aria-label="Settings">
      <svg viewBox="0 0 20 20" aria-hidden="true" focusable="false">
        <path d={settingsPath} />
      </svg>
      <span className="nav-long">Settings</span>
    </NavLink>
  )
}

export function Frame({ children }: { children: ReactNode }) {
  const overview = useQuery(ask.overview)
  const session = useQuery(ask.session)
  return (
    <div className="frame">
      <a className="skip" href="#content">
        Skip to content
      </a>
      <header className="brand">
        <p className="brand-name">
          <img src="/favicon.svg" alt="" width="28" height="28" />
          <span>Godwit</span>
        </p>
        <p className="brand-fleet" title="Fleet">
          {overview.data?.fleet}
        </p>
        <ConnectionLight />
        {/* On a phone the row of pages is full, so this one stands up here. */}
        {session.data && <SettingsLink className="brand-settings" />}
      </header>
      <nav className="nav" aria-label="Pages">
        {places.map(({ to, text, short, path }) => (
          <NavLink key={to} to={to} end={to === '/'} aria-label={text}>
            <svg viewBox="0 0 20 20" aria-hidden="true" focusable="false">
              <path d={path} />
            </svg>
            <span className="nav-long">{text}</span>
            <span className="nav-short">{short ?? text}</span>
          </NavLink>
        ))}
        {session.data && <SettingsLink className="nav-settings" />}
        {session.data && (
          <p className="nav-who">
            {session.data.who}
            <br />
            {(session.data.roles ?? []).join(', ')}
          </p>
        )}
      </nav>
      <main id="content" className="content">
        {children}
      </main>
    </div>
  )
}
