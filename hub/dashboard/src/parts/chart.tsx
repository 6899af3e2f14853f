import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

const heightPx = 160

/** A line over time. A gap in the data is a gap in the line. The same numbers stand in a table beside it. */
export default function Chart(props: {
  title: string
  at: readonly number[]
  values: readonly (number | null)[]
  fromZero?: boolean
}) {
  const { title, at, values, fromZero = true } = props
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const data: uPlot.AlignedData = [[...at], [...values]]
  const latest = useRef(data)
  latest.current = data

  useEffect(() => {
    const place = box.current!
    const build = () => {
      plot.current?.destroy()
      plot.current = new uPlot(optionsFor(place, title, fromZero), latest.current, place)
    }
    build()
    const resize = new ResizeObserver(() =>
      plot.current?.setSize({ width: place.clientWidth, height: heightPx }),
    )
    resize.observe(place)
    // A canvas does not take part in the page's colours: it is drawn again when they change.
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', build)
    return () => {
      resize.disconnect()
      dark.removeEventListener('change', build)
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [title, fromZero])

  useEffect(() => plot.current?.setData(latest.current))

  return (
    <div ref={box} className="chart" role="img" aria-label={`${title}; the table below has the numbers`} />
  )
}

function optionsFor(place: HTMLElement, title: string, fromZero: boolean): uPlot.Options {
  const colour = (name: string) => getComputedStyle(place).getPropertyValue(name).trim()
  const font = `12px ${getComputedStyle(place).fontFamily}`
  const axis: uPlot.Axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font,
  }
  return {
    width: place.clientWidth,
    height: heightPx,
    legend: { show: false },
    cursor: { y: false },
    scales: { y: { range: (_, min, max) => rangeOf(min, max, fromZero) } },
    axes: [
      {
        ...axis,
        size: 28,
        space: 70,
        values: [
          [3600, '{HH}:{mm}', null, null, null, null, null, null, 1],
          [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1],
        ],
      },
      { ...axis, size: 52, space: 30 },
    ],
    series: [
      {},
      {
        label: title,
        stroke: colour('--accent'),
        width: 1.75,
        fill: colour('--accent-soft'),
        points: { size: 4, fill: colour('--accent') },
      },
    ],
  }
}

function rangeOf(min: number | null, max: number | null, fromZero: boolean): [number, number] {
  if (min === null || max === null) return [0, 1]
  const low = fromZero ? 0 : min
  return max > low ? [low, low + (max - low) * 1.1] : [low, low + 1]
}
