import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { dist } from './fake-hub.ts'

const executablePath = '/usr/bin/chromium'

/** Why no browser test can run here; undefined where they can. A page that is not built is a mistake, not a reason. */
export function whyNoBrowser(): string | undefined {
  if (!existsSync(executablePath)) return `no ${executablePath} on this machine`
  if (!existsSync(join(dist, 'index.html')))
    throw new Error(`the dashboard is not built (${dist}): npm run build`)
  return undefined
}

export function launch(): Promise<Browser> {
  const offline = [
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-quic',
  ]
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', ...offline],
  })
}

export type Look = { width?: number; colorScheme?: 'light' | 'dark' }

/** A fresh page, and everything it complains about: refused scripts and styles, failed requests, thrown errors. */
export async function open(
  browser: Browser,
  url: string,
  { width = 1280, colorScheme = 'light' }: Look = {},
) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog said ${dialog.message()}`)
    void dialog.dismiss()
  })
  await page.goto(url)
  return { page, complaints, close: () => context.close() }
}

/** Presses Tab until the focus is on what is called so; at most as often as a page has stops. */
export async function tabTo(page: Page, name: string): Promise<void> {
  for (let stop = 0; stop < 80; stop++) {
    await page.keyboard.press('Tab')
    if ((await page.evaluate('document.activeElement?.textContent')) === name) return
  }
  throw new Error(`the keyboard does not reach ${name}`)
}
