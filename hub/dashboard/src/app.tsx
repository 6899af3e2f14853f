import { useQuery } from '@tanstack/react-query'
import { use, useEffect } from 'react'
import { Route, Routes, useLocation } from 'react-router'
import { isUnauthenticated } from './http.ts'
import { DevicePage } from './pages/device.tsx'
import { DevicesPage } from './pages/devices.tsx'
import { DriftPage } from './pages/drift.tsx'
import { EnergyPage } from './pages/energy.tsx'
import { InvitationPage } from './pages/invitation.tsx'
import { LoginPage } from './pages/login.tsx'
import { ModelPage } from './pages/model.tsx'
import { ModelsPage } from './pages/models.tsx'
import { NotFoundPage } from './pages/not-found.tsx'
import { OverviewPage } from './pages/overview.tsx'
import { RolloutPage } from './pages/rollout.tsx'
import { RolloutsPage } from './pages/rollouts.tsx'
import { SettingsPage } from './pages/settings.tsx'
import { VersionPage } from './pages/version.tsx'
import { Trouble, Waiting } from './parts/answer.tsx'
import { Frame } from './parts/frame.tsx'
import { LiveContext } from './parts/light.tsx'
import { ask } from './queries.ts'

export function App() {
  const { pathname } = useLocation()
  const session = useQuery(ask.session)
  if (pathname === '/invitation') return <InvitationPage />
  if (isUnauthenticated(session.error)) return <LoginPage />
  if (session.error && !session.data)
    return (
      <main className="alone">
        <Trouble error={session.error} />
      </main>
    )
  if (!session.data)
    return (
      <main className="alone">
        <Waiting />
      </main>
    )
  return <Dashboard />
}

function Dashboard() {
  const live = use(LiveContext)
  useEffect(() => live?.start(), [live])
  return (
    <Frame>
      <Routes>
        <Route index element={<OverviewPage />} />
        <Route path="devices" element={<DevicesPage />} />
        <Route path="devices/:id" element={<DevicePage />} />
        <Route path="rollouts" element={<RolloutsPage />} />
        <Route path="rollouts/:id" element={<RolloutPage />} />
        <Route path="models" element={<ModelsPage />} />
        <Route path="models/:model" element={<ModelPage />} />
        <Route path="models/:model/versions/:version" element={<VersionPage />} />
        <Route path="drift" element={<DriftPage />} />
        <Route path="energy" element={<EnergyPage />} />
        <Route path="settings" element={<SettingsPage />} />
        <Route path="*" element={<NotFoundPage />} />
      </Routes>
    </Frame>
  )
}
