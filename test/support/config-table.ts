type Schema = {
  type?: string
  description?: string
  default?: unknown
  enum?: unknown[]
  allOf?: Schema[]
  properties?: Record<string, Schema>
  patternProperties?: Record<string, Schema>
  additionalProperties?: boolean | Schema
  required?: string[]
}

/** One line a key, from the schema that also checks the configuration. */
export function configTable(schema: Schema): string {
  const rows = rowsOf(schema, '', true).map(([key, standard, why]) => `| \`${key}\` | ${standard} | ${why} |`)
  return ['| key | default | what and why |', '|---|---|---|', ...rows].join('\n')
}

function rowsOf(schema: Schema, path: string, isRequired: boolean): [string, string, string][] {
  const inner = Object.entries(schema.properties ?? {}).flatMap(([key, child]) =>
    rowsOf(child, path ? `${path}.${key}` : key, schema.required?.includes(key) ?? false),
  )
  if (inner.length > 0) return inner
  const { additionalProperties: others } = schema
  // Of a map whose values are plain, one row says it all.
  const isMapOfObjects = typeof others === 'object' && others.properties !== undefined
  const named = isMapOfObjects ? others : Object.values(schema.patternProperties ?? {})[0]
  if (named) return rowsOf(named, `${path}.NAME`, true)
  return [[path, defaultOf(schema, isRequired), descriptionOf(schema)]]
}

function defaultOf(schema: Schema, isRequired: boolean): string {
  if (schema.default !== undefined) return `\`${JSON.stringify(schema.default)}\``
  return isRequired ? '**required**' : '–'
}

function descriptionOf(schema: Schema): string {
  const described = schema.description ?? schema.allOf?.map((part) => part.description).find(Boolean) ?? ''
  const choices = schema.enum
    ? ` One of ${schema.enum.map((choice) => `\`${String(choice)}\``).join(', ')}.`
    : ''
  return `${described}${choices}`.trim()
}
