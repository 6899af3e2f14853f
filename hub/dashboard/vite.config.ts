import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // Data URIs would need holes in the content security policy.
  build: { assetsInlineLimit: 0, target: 'es2022', reportCompressedSize: true },
  // Development against a running hub: GODWIT_HUB=http://127.0.0.1:8080 vite hub/dashboard
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(
      ['/api', '/blobs', '/login'].map((path) => [
        path,
        process.env['GODWIT_HUB'] ?? 'http://127.0.0.1:8080',
      ]),
    ),
  },
})
