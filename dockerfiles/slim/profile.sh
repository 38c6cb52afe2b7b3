# Debian's /etc/profile resets PATH: restore the directories of the user's own tools.
PATH="$HOME/.local/bin:$HOME/.cargo/bin:$HOME/go/bin:$HOME/.bun/bin:$PATH"
