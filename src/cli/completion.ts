/**
 * `skiff completion bash|zsh|fish`: the scripts that make a shell ask `skiff complete`.
 */
import { command } from './command.ts';
import { print } from './output.ts';

const bash = `# bash completion for skiff
_skiff() {
  local cur=\${COMP_WORDS[COMP_CWORD]} words=("\${COMP_WORDS[@]:1:COMP_CWORD}") lines
  # bash takes "=" for a word of its own.
  if [[ $cur == = ]]; then cur=; words[\${#words[@]}-1]=; fi
  mapfile -t lines < <("\${COMP_WORDS[0]}" complete "\${words[@]}" 2>/dev/null)
  local count=\${#lines[@]}
  ((count)) || return
  local directive=\${lines[count-1]}
  unset "lines[count-1]"
  COMPREPLY=("\${lines[@]}")
  case $directive in
    :file) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur") ;;
    :directory) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$cur") ;;
  esac
}
complete -F _skiff skiff
`;

const zsh = `#compdef skiff
_skiff() {
  local -a lines
  local directive
  lines=("\${(@f)$("\${words[1]}" complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  directive=\${lines[-1]}
  lines=("\${(@)lines[1,-2]}")
  (( \${#lines} )) && compadd -a lines
  case $directive in
    :file) _files ;;
    :directory) _files -/ ;;
  esac
}
if [ "\${funcstack[1]}" = _skiff ]; then _skiff "$@"; else compdef _skiff skiff; fi
`;

const fish = `# fish completion for skiff
function __skiff_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] complete $words[2..-1] 2>/dev/null)
    test (count $lines) -gt 0; or return
    test (count $lines) -gt 1; and printf '%s\\n' $lines[1..-2]
    switch $lines[-1]
        case :file
            __fish_complete_path (commandline -ct)
        case :directory
            __fish_complete_directories (commandline -ct)
    end
end
complete -c skiff -f -a '(__skiff_complete)'
`;

const scripts: Record<string, string> = { bash, zsh, fish };

export const completion = command({
  description:
    'Prints a script that makes a shell complete the commands, options, choices and names of a running site.',
  arguments: [{ name: 'SHELL', choices: Object.keys(scripts), help: 'the shell it is for' }],
  options: {},
  examples: [
    { for: 'bash, in this shell', command: 'source <(skiff completion bash)' },
    {
      for: 'bash, for good',
      command: 'skiff completion bash > ~/.local/share/bash-completion/completions/skiff',
    },
    { for: 'zsh, in a directory of $fpath', command: 'skiff completion zsh > ~/.zfunc/_skiff' },
    { for: 'fish, for good', command: 'skiff completion fish > ~/.config/fish/completions/skiff.fish' },
  ],
  async run(_, [shell]) {
    print(scripts[shell]);
  },
});
