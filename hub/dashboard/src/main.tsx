import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { BrowserRouter } from 'react-router'
import { App } from './app.tsx'
import { isRefusal } from './http.ts'
import { Live } from './live.ts'
import { LiveContext } from './parts/light.tsx'
import './styles/base.css'
import './styles/frame.css'
import './styles/parts.css'
import './styles/pages.css'

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // The stream says when to ask again; this is for what only time changes, and for a stream that is cut.
      refetchInterval: 30_000,
      // A refusal is an answer; only silence and faults are asked about again.
      retry: (failures, error) => !isRefusal(error) && failures < 2,
    },
  },
})
const live = new Live(client)

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <LiveContext value={live}>
        <BrowserRouter>
          <App />
        </BrowserRouter>
      </LiveContext>
    </QueryClientProvider>
  </StrictMode>,
)
