"""The progress bar: on stderr, on a terminal, and nowhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from .output import Console

OnProgress = Callable[[float, int, int | None], None]


@contextmanager
def progress_bar(title: str) -> Iterator[OnProgress | None]:
    """What to call with (done, failed, total) while the bar is there; None where there is no terminal to show it on.

    The bar goes when it is done: what stays is the result.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        # Narrow enough that the ^C of whoever interrupts it stays on its line, so that both can be wiped away.
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
    """How many are done each second, as of late."""

    def render(self, task: Task) -> Text:
        """Empty until it can be told."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f}/s")
