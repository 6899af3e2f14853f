/** When a goal may be installed, as its directive says it. */
export const name = '006-install-windows'

export const statements = ['alter table goal add column install_windows_json text']
