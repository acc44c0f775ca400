"""Text and files: escaping, CSV cells, atomic files, token files and settings. Used by audit, export, fleet and cli."""
