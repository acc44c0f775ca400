"""The progress bar: on stderr, and only if that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from .output import Console

OnProgress = Callable[[float, int, int | None], None]


@contextmanager
def progress_bar(title: str) -> Iterator[OnProgress | None]:
    """Yield a function to call with (done, failed, total) while the bar is shown; None if stderr is no terminal.

    The bar is wiped away at the end.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        # Narrow, so that the ^C of an interruption stays on the bar's line and is wiped away with it.
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(done: float, failed: int, total: int | None) -> None:
            description = f"{title}, {failed} failed" if failed else title
            bar.update(task, completed=done, total=total, description=description)

        yield show


class RateColumn(ProgressColumn):
    """The current rate: how many are done each second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing until it is known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f}/s")
