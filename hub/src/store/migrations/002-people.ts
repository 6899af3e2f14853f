/**
 * People with names and passwords beside tokens and links, and roles as a set: until here a publisher was an operator
 * too. `role` columns hold roles with commas between them from now on.
 */
export const name = '002-people'

export const statements = [
  `create table person (id text primary key, name text not null unique, roles text not null, password text,
    oidc_issuer text, oidc_subject text, disabled_at bigint, created_at bigint not null, last_login_at bigint,
    unique (oidc_issuer, oidc_subject))`,
  'alter table api_token add column user_id text',
  'alter table api_token add column scopes_json text',
  'alter table browser_session add column user_id text',
  'alter table login_link add column user_id text',
  "update api_token set role = 'operator,publisher' where role = 'publisher'",
  "update browser_session set role = 'operator,publisher' where role = 'publisher'",
  "update login_link set role = 'operator,publisher' where role = 'publisher'",
]
