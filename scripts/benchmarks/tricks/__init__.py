"""What each trick buys alone: this project against itself without it, in turn. docs/speed.md has the table."""
