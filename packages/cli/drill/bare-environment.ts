/**
 * The environment without settings of Signet's, as undefined: a drill that runs where a node is set up, in a container say, must not start
 * processes that take that node's regions, bus or ports for theirs.
 */
export const bareEnvironment = (): Record<string, string | undefined> => ({
  ...process.env,
  ...Object.fromEntries(Object.keys(process.env).flatMap((name) => (name.startsWith('SIGNET_') ? [[name, undefined]] : []))),
})
