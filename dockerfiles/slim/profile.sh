# Debian's /etc/profile sets PATH anew: put back where users' own tools go.
PATH="$HOME/.local/bin:$HOME/.cargo/bin:$HOME/go/bin:$HOME/.bun/bin:$PATH"
