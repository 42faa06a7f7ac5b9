"""Tools that users bring: by the place of a file, the name in a module, or an entry point."""
