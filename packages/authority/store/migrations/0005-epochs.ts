/** Where the log of the present epoch begins: at or below `base` lies what is left of those before it. */
export const epochs = `
alter table revocation_head add column base {int} not null default 0;
`
