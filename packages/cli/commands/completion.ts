/** Completion for shells: a few lines of shell that ask this program what could come next. */
import { buildCommand } from '@stricli/core'
import { type Cli, type Context, contextOf } from '../cli.ts'
import { command } from '../command.ts'
import { EXIT, Trouble } from '../trouble.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

export const completion = command({
  brief: 'Print the completion script of your shell',
  about: `bash:  signet completion bash > ~/.local/share/bash-completion/completions/signet
zsh:   signet completion zsh > "\${fpath[1]}/_signet"
fish:  signet completion fish > ~/.config/fish/completions/signet.fish`,
  args: { kind: 'tuple', parameters: [{ parse: String, placeholder: 'bash|zsh|fish', brief: 'Which shell' }] },
  async run(cli: Cli, _flags: object, shell: string) {
    if (!SHELLS.includes(shell as Shell))
      throw new Trouble({
        what: `There is no completion for ${shell}`,
        why: 'only some shells are known',
        advice: `Write one of ${SHELLS.join(', ')}`,
        exit: EXIT.usage,
        code: 'usage',
      })
    const script = SCRIPTS[shell as Shell]
    cli.show({ shell, script }, () => script.trimEnd())
  },
})

/** Hidden: `signet __complete -- words…` prints what the last, unfinished word could become, a line each: word, tab, brief. */
export const complete = buildCommand<object, readonly string[], Context>({
  docs: { brief: 'What could come next' },
  parameters: { positional: { kind: 'array', parameter: { parse: String, brief: 'Words so far', placeholder: 'WORD' } } },
  async func(this: Context, _flags, ...words) {
    const [{ proposeCompletions }, { app }] = await Promise.all([import('@stricli/core'), import('../app.ts')])
    const proposals = await proposeCompletions(app, words, contextOf(this.own))
    this.own.stdout.write(proposals.map(({ completion: word, brief }) => `${word}\t${brief}\n`).join(''))
  },
})

const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# signet completion for bash
_signet() {
  local word
  COMPREPLY=()
  while IFS=$'\\t' read -r word _; do
    [[ $word == "\${COMP_WORDS[COMP_CWORD]}"* ]] && COMPREPLY+=("$word")
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _signet signet
`,
  zsh: `#compdef signet
# signet completion for zsh
_signet() {
  local -a proposals
  local word brief
  while IFS=$'\\t' read -r word brief; do
    proposals+=("\${word//:/\\\\:}:$brief")
  done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#proposals} )); then _describe 'signet' proposals; else _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _signet "$@"; else compdef _signet signet; fi
`,
  fish: `# signet completion for fish
function __signet_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] __complete -- $words[2..-1] 2>/dev/null
end
# Files only where nothing of ours fits.
complete -c signet -n 'test -n "$(__signet_complete)"' -f -a '(__signet_complete)'
`,
}
