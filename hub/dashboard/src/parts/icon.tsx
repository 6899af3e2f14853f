import type { IconName } from '../view/words.ts'

/** Drawn, not typed: an air-gapped machine may lack the fonts that have these signs. Always beside a word. */
const paths: Record<IconName, string> = {
  ok: 'M3 8.5 6.5 12 13 4.5',
  bad: 'M4 4l8 8M12 4l-8 8',
  paused: 'M5.5 3.5v9M10.5 3.5v9',
  warn: 'M8 2.5 14.5 13.5h-13ZM8 6.5v3.5M8 11.6v.3',
  dot: 'M8 7.9v.2',
  busy: 'M13 8a5 5 0 1 1-2-4M13 2v3h-3',
  pending: 'M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3Z',
}

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  )
}
