import { Link } from 'react-router'
import { Page } from '../parts/page.tsx'
import { Verdict } from '../parts/state.tsx'

export function NotFoundPage() {
  return (
    <Page title="Nothing here" verdict={<Verdict tone="warn">There is no page at this address.</Verdict>}>
      <p>
        <Link to="/">Back to the overview</Link>
      </p>
    </Page>
  )
}
