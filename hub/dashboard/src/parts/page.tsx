import { type ReactNode, useEffect, useRef } from 'react'
import { Link, useLocation } from 'react-router'

type Crumb = { to: string; text: string }

/** Title, what it comes to, then the matter. The title takes the focus when one arrives, as a loaded page would. */
export function Page(props: {
  title: string
  above?: Crumb
  side?: ReactNode
  verdict?: ReactNode
  children: ReactNode
}) {
  const heading = useRef<HTMLHeadingElement>(null)
  const { key } = useLocation()
  // `default` is the first page of a visit: there the browser's own order is right.
  useEffect(() => {
    if (key !== 'default') heading.current?.focus()
  }, [key])
  return (
    <>
      <title>{`${props.title} · Godwit`}</title>
      <header className="page-head">
        {props.above && (
          <p className="above">
            <Link to={props.above.to}>{props.above.text}</Link>
          </p>
        )}
        <div className="page-title">
          <h1 ref={heading} tabIndex={-1}>
            {props.title}
          </h1>
          {props.side}
        </div>
        {props.verdict}
      </header>
      {props.children}
    </>
  )
}

/** A part of a page with its name. */
export function Section({ title, side, children }: { title: string; side?: ReactNode; children: ReactNode }) {
  return (
    <section className="section">
      <div className="section-head">
        <h2>{title}</h2>
        {side}
      </div>
      {children}
    </section>
  )
}
