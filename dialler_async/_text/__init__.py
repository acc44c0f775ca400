"""Text and files for people: escaping, CSV cells, atomic files. Used by audit, export and cli."""
