const apart = /^\/(api|meta|blobs|metrics|livez|readyz|login|problems|mqtt)(\/|$|\?)/

/** Does this address belong to the dashboard, its pages and files, rather than to the API and its kin? */
export function isOfPage(url: string): boolean {
  return !apart.test(url)
}
