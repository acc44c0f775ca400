"""A progress bar on stderr, shown only if stderr is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from .. import OnProgress
from .output import Console


@contextmanager
def progress_bar(title: str) -> Iterator[OnProgress | None]:
    """Show a progress bar, and yield a function `(done, failed, total)` that updates it.

    Yield None if stderr is not a terminal. The bar is erased at the end.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        # The bar is narrow, so that ^C, which the terminal echoes, fits on the same line and is erased with it.
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, failed: int, total: int | None) -> None:
            description = f"{title}, {failed} failed" if failed else title
            bar.update(task, completed=done, total=total, description=description)

        yield show


class RateColumn(ProgressColumn):
    """A column with the number of items done per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or an empty text while it is unknown."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f}/s")
