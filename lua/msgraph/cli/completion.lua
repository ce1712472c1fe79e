-- lua/msgraph/cli/completion.lua
--- `msgraph completion`: what a shell needs to complete commands and options. Asks nobody.
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "completion",
  summary = "Print what bash, zsh or fish need to complete commands.",
  exits = { "done", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[Prints a script for a shell, which completes commands, options and files with it.]]

M.EXAMPLES = [[
Examples:
  msgraph completion bash > ~/.local/share/bash-completion/completions/msgraph
  msgraph completion zsh > ~/.zfunc/_msgraph        with ~/.zfunc in fpath
  msgraph completion fish > ~/.config/fish/completions/msgraph.fish]]

function M.describe(command)
  command:argument "shell":argname "<shell>":choices { "bash", "zsh", "fish" }:description "bash, zsh or fish."
end

function M.run(args, parser)
  terminal.out(parser[("get_%s_complete"):format(args.shell)](parser))
  return "done"
end

return M
