"""Text and files for people: escaping, CSV cells, files written in one step. Used by audit, export and cli."""
