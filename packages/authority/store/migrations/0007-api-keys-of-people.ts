/** The API keys that act for somebody: what a plan over people counts. */
export const apiKeysOfPeople = `
create index api_keys_subject on api_keys (subject, id) where subject is not null;
`
